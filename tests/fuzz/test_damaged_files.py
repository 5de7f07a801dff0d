"""10,000 damaged model files through `inspect`, `lower` and the passes of `quantize`: refused, or made sound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import onnx
import pytest

from tests import started
from tests.fuzz.bases import BASES
from tests.fuzz.group import try_each, try_limit
from tests.fuzz.mutations import MUTATIONS, Mutation, mutated

ROOT = Path(__file__).resolve().parents[2]
FILES = int(os.environ.get("SQUEEZE_FUZZ_FILES") or 10_000)
# Of QDQ files more goes further, since `lower` refuses all others.
SHARES = {
    "branches": 0.15,
    "conv_net": 0.2,
    "lstm": 0.12,
    "mlp": 0.18,
    "qdq_net": 0.23,
    "transformer": 0.12,
}
GROUP_FILES = 550
# Against a process that stands still; one that computes is ended by its processor time, on a busy machine too.
STILL_SECONDS = 3600
GROUPS = [
    (base, first, min(first + GROUP_FILES, int(FILES * share)))
    for base, share in SHARES.items()
    for first in range(0, int(FILES * share), GROUP_FILES)
]


def test_every_mutation_changes_some_base() -> None:
    for mutation in MUTATIONS:
        assert any(_changes(mutation, base) for base in BASES), mutation.__name__


def test_a_seed_gives_the_same_file_each_time() -> None:
    for base in BASES:
        assert mutated(BASES[base](), 5) == mutated(BASES[base](), 5)


def test_only_processor_time_counts_against_a_file() -> None:
    # In a process of its own, as the files are: the signal would reach the threads of every runtime loaded here.
    done = started.call(try_limit).ended()
    assert done.returncode == 0, done.stderr[-2000:]
    waited, computed = json.loads(done.stdout)
    assert waited == ["fine", "waited"]
    assert computed[0] == "fault"
    assert "0.3 s of processor time" in computed[1]


def test_every_base_has_its_share() -> None:
    assert SHARES.keys() == BASES.keys()
    assert sum(SHARES.values()) == pytest.approx(1)


@pytest.mark.parametrize(("base", "first", "last"), GROUPS)
def test_a_damaged_file_is_refused_in_a_line_or_becomes_a_sound_one(
    base: str, first: int, last: int
) -> None:
    found = _found(base, first, last)
    faults = [one for one in found if one.get("fault")]
    assert [one["seed"] for one in found] == list(range(first, last))
    assert not faults, f"{len(faults)} of {len(found)}; first: {faults[:5]}"


def _found(base: str, first: int, last: int) -> list[dict[str, object]]:
    """What came of each seed; a process that dies is begun anew behind the file it died of."""
    found: list[dict[str, object]] = []
    while first < last:
        done = started.call(try_each, base, first, last).ended()
        at = None
        for line in done.stdout.splitlines():
            told = json.loads(line)
            if "begin" in told:
                at = told["begin"]
                continue
            faults = {k: v[1] for k, v in told["found"].items() if v[0] == "fault"}
            found.append({"base": base, "seed": told["seed"], "fault": faults})
            at, first = None, told["seed"] + 1
        if at is None:
            assert done.returncode == 0, done.stderr[-2000:]
            break
        # What kills the runtime without us is its own; users of any tool meet it. Many deaths print nothing.
        ours = _plain(base, at).returncode == 0
        died = f"died with {done.returncode}: {done.stderr[-500:]}"
        found.append({"base": base, "seed": at, "fault": died if ours else {}})
        first = at + 1
    return found


def _plain(base: str, seed: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz.plain", base, str(seed)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=STILL_SECONDS,
        check=False,
    )


def _changes(mutation: Mutation, base: str) -> bool:
    before = BASES[base]()
    for seed in range(40):
        after = onnx.ModelProto()
        after.CopyFrom(before)
        mutation(after, Random(seed))
        if after.SerializeToString() != before.SerializeToString():
            return True
    return False
