"""Whose numbers they are: timed on this machine, or what a compiler, an interpreter or an emulator says of a device."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]  # Any: JSON
# How numbers of a class were had that is not measured.
_UNTIMED = {
    "cycles": "Cycles, counted",
    "static": "Counted",
    "emulated": "Run in an emulator",
    "estimate": "Estimated",
}
# What a runtime's working memory is, where it is not that of a process.
_MEMORIES = {"tflite-micro": "the tensor arena", "ethos-u": "the NPU's SRAM"}


def source(manifest: Json) -> str:
    """Where the numbers of the table come from, in one sentence; runs and threads only of what was timed."""
    b = (manifest.get("measurements") or {}).get("student") or {}
    if not b:
        return ""
    host, by = b.get("host", "an unknown machine"), _by(b)
    if not timed(manifest):
        device = (manifest.get("target") or {}).get("name") or "the device"
        how = _UNTIMED.get(str(b["source"]), str(b["source"]))
        return f"{how} by {by} for {device}, on {host}. Nothing was timed."
    threads = b.get("threads", 1)
    isa = ", ".join(str(i).removeprefix("x86_").removeprefix("arm64_") for i in b.get("isa") or [])
    return (
        f"Measured on {host}{f' ({isa})' if isa else ''}, {by}, "
        f"{threads} thread{'s' if threads != 1 else ''}, {b.get('runs', 0):,} runs of each, interleaved."
    )


def timed(manifest: Json) -> bool:
    """Whether the numbers are measured, and not what a compiler, an interpreter or an emulator says."""
    student = (manifest.get("measurements") or {}).get("student") or {}
    return bool(student.get("source", "measured") == "measured")


def latency_name(manifest: Json) -> str:
    """A compiler says one latency; a percentile is of many runs."""
    return "latency p50" if timed(manifest) else "latency"


def memory(measured: Json) -> str:
    """What the peak memory is: of a process only where one was measured."""
    if measured.get("source", "measured") == "measured":
        return "loading and running, own process"
    known = _MEMORIES.get(str(measured.get("runtime")))
    return known or f"as {_by(measured)} says"


def _by(measured: Json) -> str:
    """Runtime and version; many a version names its package itself."""
    runtime, version = str(measured.get("runtime", "")), str(measured.get("runtime_version", ""))
    return version if " " in version else f"{runtime} {version}".strip()
