"""The screens of profile, inspect, doctor and calib: what stands where."""

from __future__ import annotations

from typing import Any

from squeeze.console.doctor import show_doctor
from squeeze.console.inspection import show_inspection
from squeeze.console.nested import show_nested
from squeeze.console.profile import show_profile
from tests.console.shown import shown

Json = dict[str, Any]  # Any: JSON

PROFILE: Json = {
    "latency": {"p50_ms": 0.0621, "p90_ms": 0.07, "p99_ms": 1234.0, "runs": 200},
    "threads": 1,
    "peak_ram_bytes": None,
    "file_bytes": 141_000,
    "weight_bytes": 128_000,
    "params": 125_300,
    "macs_unknown": [],
    "macs": 9_310_000,
    "gmacs_per_s": 149.9,
    "host": "Xeon, 2 cores",
    "isa": ["x86_avx2"],
    "ops": [{"op": "QConv", "count": 19, "us": 51.25, "share": 0.825}],
    "against": {
        "model": "teacher.onnx",
        "speedup": {"median": 25.94, "p10": 24.1, "p90": 27.2},
        "latency": {"p50_ms": 1.61},
    },
    "working_memory": {
        "peak_bytes": 3600,
        "at": "join",
        "op": "Concat",
        "alive": [{"name": name, "bytes": 900} for name in ("a", "b", "c", "d")],
        "unknown": [],
    },
    "assumed": ["input 'x' is 1x3x224x224: h, w may vary"],
}


def test_profile_has_latency_ratio_with_spread_and_ops() -> None:
    lines = shown(lambda console: show_profile(console, PROFILE))
    text = [" ".join(line.split()) for line in lines]
    assert "latency p50 / p90 / p99 0.0621 ms / 0.07 ms / 1.23 s" in text
    assert "peak memory -" in text
    assert "assumed: input 'x' is 1x3x224x224: h, w may vary" in text
    assert (
        "against teacher.onnx 25.9x its speed (24.1x to 27.2x), interleaved; it has p50 1.61 ms"
        in text
    )
    assert (
        "estimate: values take 3.6 KB at most, at join (Concat): a 900 B, b 900 B, c 900 B and 1 more"
        in text
    )
    assert text[-1] == "QConv 19 51.2 us 82.5 %"


def test_profile_says_which_multiplications_it_does_not_know() -> None:
    left = ["/fork (If): both branches are counted", "/a (Conv): shapes unknown"]
    found = {**PROFILE, "macs": 0, "macs_unknown": left}
    text = [" ".join(line.split()) for line in shown(lambda console: show_profile(console, found))]
    said = next(line for line in text if line.startswith("params, MACs"))
    assert said.endswith(f"not known (without {left[0]} and 1 more)")
    assert "speed -" in text


def package(signature: Json) -> Json:
    return {
        "kind": "package",
        "verdict": {"met": True, "sentence": "26x faster"},
        "teacher": {"source": "m.pt2", "digest": "abcdef0123456789"},
        "arch": None,
        "target": {"name": "host"},
        "calib": {"name": "fashion", "modality": "image", "assumed": []},
        "signature": {"preprocess": {"scale": 1.0}, **signature},
        "host": {"cpu": "Xeon", "isa": ["x86_avx2"]},
        "artifact_digest": "f" * 64,
        "steps": [{"name": "search", "status": "reused", "summary": "front of 14"}],
    }


def test_inspection_names_all_inputs_and_outputs() -> None:
    ids = {"name": "ids", "dtype": "int64", "shape": [12]}
    mask = {"name": "mask", "dtype": "bool", "shape": [12], "batch_axis": None}
    y = {"name": "y", "dtype": "float32", "shape": [3]}
    signature = {
        "inputs": [ids, mask],
        "outputs": [y],
        "changes": ["batch 1 -> any", "opset 11 -> 20"],
    }
    lines = shown(lambda console: show_inspection(console, package(signature)))
    text = [" ".join(line.split()) for line in lines]
    assert "input ids int64 [n, 12]; mask bool [12]" in text
    assert "output y float32 [n, 3]" in text
    assert "changed batch 1 -> any; opset 11 -> 20" in text
    assert "teacher m.pt2 · abcdef012345" in text
    assert "search reused front of 14" in text


def test_doctor_says_what_to_do_about_what_is_missing() -> None:
    entries = [
        {"name": "python", "found": "3.11", "ok": True, "hint": ""},
        {"name": "native library", "found": "not built", "ok": False, "hint": "pip install ."},
    ]
    lines = shown(lambda console: show_doctor(console, {"entries": entries}))
    text = [" ".join(line.split()) for line in lines]
    assert text == [
        "what found do",
        "ok python 3.11",
        "WARN native library not built pip install .",
    ]


def test_nested_values_are_indented() -> None:
    value = {
        "name": "a",
        "metric": None,
        "splits": {"fit": {"samples": 3}},
        "assumed": [],
        "n": [1, 2],
    }
    assert shown(lambda console: show_nested(console, value)) == [
        "name: a",
        "metric: -",
        "splits",
        "  fit",
        "    samples: 3",
        "assumed: -",
        "n: 1, 2",
    ]
