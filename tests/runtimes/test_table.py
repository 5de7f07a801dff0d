"""The table of runtimes: one for each name that a target file may have, and nothing heavy loaded by asking for it."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

from squeeze.runtimes.ethos_u import EthosU
from squeeze.runtimes.litert import LiteRt
from squeeze.runtimes.table import RUNTIMES, runtime_of
from squeeze.runtimes.tflite_micro import TfliteMicro
from squeeze.target import RuntimeName, load_target


def test_every_name_of_a_target_file_has_a_runtime() -> None:
    assert list(RUNTIMES) == sorted(get_args(RuntimeName))


def test_a_target_has_the_runtime_of_its_name() -> None:
    for name, kind in (
        ("litert-cpu", LiteRt),
        ("ethos-u55-128", EthosU),
        ("mcu-cortex-m7", TfliteMicro),
    ):
        assert isinstance(runtime_of(load_target(name)), kind)


def test_asking_what_is_missing_loads_no_runtime() -> None:
    script = (
        "import sys; from squeeze.runtimes.table import runtime_of; from squeeze.target import load_target\n"
        "for name in ('litert-cpu', 'ethos-u55-128', 'mcu-cortex-m7'):\n"
        "    runtime = runtime_of(load_target(name)); runtime.missing(), runtime.version, runtime.source\n"
        "print([name for name in ('ai_edge_litert', 'ethosu.vela.vela', 'tflite_micro') if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert ended.stdout == "[]\n"
