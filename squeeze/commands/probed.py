"""A target file of this very machine: what the system says of it, and what was measured."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, get_args

from squeeze.build_date import build_date
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.machine.facts import facts_of_this_machine
from squeeze.machine.probe import probe
from squeeze.measure.peaks import Peaks, peaks
from squeeze.target import Arch, Target

if TYPE_CHECKING:
    from squeeze.machine.probe import Probe

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_NOTES = {
    "threads": "the peaks are those of one thread",
    "activations": "what ONNX Runtime runs fast on such a processor",
}


def probed_target(name: str) -> Target:
    """This machine as a target. Raises ConfigError for a bad name, UnsupportedError for an unknown processor."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name}: the name of a target is of small letters, digits and -, such as my-board"
        )
    facts = facts_of_this_machine()
    if facts.arch not in get_args(Arch):
        raise UnsupportedError(
            f"this machine's processor is {facts.arch}, which target files do not know; they know "
            f"{', '.join(get_args(Arch))}"
        )
    return _target(name, facts.arch, facts.host, probe(), peaks())


def _target(name: str, arch: str, host: str, read: Probe, reached: Peaks) -> Target:
    today = build_date()
    sources = {f"peak.{key}": f"measured on {today}: {how}" for key, how in reached.how.items()}
    facts: dict[str, dict[str, float | int]] = {"cpu": {}, "memory": {}}
    for part, key, fact in (
        ("cpu", "clock_hz", read.clock_hz),
        ("memory", "ram_bytes", read.ram_bytes),
    ):
        if fact is not None:
            facts[part][key] = int(fact.value)
            sources[f"{part}.{key}"] = f"read on {today}: {fact.source}"
    return Target.model_validate(
        {
            "schema": 2,
            "name": name,
            "summary": f"{host}; one thread of ONNX Runtime",
            "cpu": {"arch": arch, "features": read.features, "cores": read.cores, **facts["cpu"]},
            "memory": facts["memory"],
            "numerics": {"activations": "int8" if arch == "arm64" else "uint8"},
            "peak": {key: float(f"{getattr(reached, key):.3g}") for key in reached.how},
            "sources": sources,
        }
    )


def target_text(target: Target) -> str:
    """The TOML of a target: what it sets, and nothing that is as always."""
    said: dict[str, Any] = target.model_dump(
        mode="json", by_alias=True, exclude_unset=True
    )  # Any: JSON
    said["runtime"] = {
        key: getattr(target.runtime, key) for key in ("name", "opset", "threads", "custom_ops")
    }
    sources = said.pop("sources", {})
    lines = [f"{key} = {_value(v)}" for key, v in said.items() if not isinstance(v, dict)]
    for part, keys in said.items():
        if isinstance(keys, dict) and keys:
            lines += ["", f"[{part}]", *(_line(key, value) for key, value in keys.items())]
    lines += ["", "[sources]", *(f"{_value(key)} = {_value(v)}" for key, v in sources.items())]
    return "\n".join(lines) + "\n"


def _line(key: str, value: object) -> str:
    said = f"{key} = {_value(value)}"
    return f"{said:<26} # {_NOTES[key]}" if key in _NOTES else said


def _value(value: object) -> str:
    """Strings of JSON are strings of TOML where nothing outside of it is escaped."""
    if isinstance(value, float):
        return f"{value:.3g}".replace("e+0", "e").replace("e+", "e")
    return json.dumps(value, ensure_ascii=False)
