"""What the native ops are meant to reach, one thread: how many times faster than `against`, by instruction set."""

from __future__ import annotations

from typing import Any

AMX, VNNI = "x86_amx", "x86_avx512vnni"

# (case, against) -> isa -> ratio
GOALS: dict[tuple[str, str], dict[str, float]] = {
    ("qconv-geomean", "ort"): {AMX: 4.5, VNNI: 2.0},
    ("qconv-depthwise-geomean", "ort"): {VNNI: 4.0},
    ("codebook-gemm-4bit-m1", "matmulnbits"): {AMX: 2.0},
    ("codebook-gemm-4bit-m16", "matmulnbits"): {AMX: 4.4},
    ("codebook-gemm-4bit-m128", "matmulnbits"): {AMX: 9.0},
    ("codebook-conv-4bit", "qconv"): {AMX: 0.7, VNNI: 0.7},
    ("resnet20-int8", "ort"): {AMX: 4.8, VNNI: 1.9},
    ("resnet20-int8", "openvino"): {AMX: 2.0, VNNI: 1.35},
    ("resnet56-int8", "ort"): {AMX: 4.8, VNNI: 1.9},
    ("resnet56-int8", "openvino"): {AMX: 2.0, VNNI: 1.35},
    ("mobilenetv1-025-int8", "ort"): {AMX: 4.0, VNNI: 3.0},
    ("mobilenetv1-025-int8", "openvino"): {AMX: 1.8, VNNI: 1.3},
}

# The bodies without our library have to run as the plain graph does, on one thread, which is the steadier measurement.
BODY = (0.95, 1.05)


def goal(case: str, against: str, isa: str, threads: int) -> str:
    """The goal as text, and empty where there is none."""
    if isa == "body":
        return f"{BODY[0]}-{BODY[1]}" if threads == 1 else ""
    wanted = GOALS.get((case, against), {}).get(isa) if threads == 1 else None
    return "" if wanted is None else f"{wanted}"


def verdict(row: dict[str, Any]) -> str:  # Any: a row mixes text and numbers
    """ "met", "MISSED" or nothing."""
    case, against, isa = row["case"], row["against"], row["isa"]
    if isa == "body" and row["threads"] == 1:
        return "met" if BODY[0] <= row["ratio"] <= BODY[1] else "MISSED"
    wanted = GOALS.get((case, against), {}).get(isa) if row["threads"] == 1 else None
    if wanted is None:
        return ""
    return "met" if row["ratio"] >= wanted else "MISSED"
