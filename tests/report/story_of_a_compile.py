"""A manifest as a whole compile leaves it, with figures that no formula made: the tests look for them in the page."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]  # Any: JSON

_TEACHER: Json = {
    "source": "measured",
    "metric": 94.2,
    "metric_name": "top1",
    "n": 2000,
    "latency_p50_ms": 1.61,
    "latency_p90_ms": 1.72,
    "latency_p99_ms": 2.25,
    "runs": 400,
    "threads": 1,
    "peak_ram_bytes": 11_200_000,
    "file_bytes": 4_341_934,
    "weight_bytes": 4_336_040,
    "params": 1_084_010,
    "macs": 125_000_000,
    "host": "Xeon, 2 cores",
    "isa": ["x86_avx2", "x86_amx"],
    "runtime": "onnxruntime",
    "runtime_version": "1.31.1",
}
_STUDENT: Json = _TEACHER | {
    "metric": 93.41,
    "latency_p50_ms": 0.062,
    "latency_p90_ms": 0.066,
    "latency_p99_ms": 0.091,
    "peak_ram_bytes": 1_900_000,
    "file_bytes": 141_000,
    "weight_bytes": 128_000,
    "params": 125_300,
    "macs": 9_310_000,
}
_CPU: Json = {"metric": 93.41, "samples": 2000, "changed_top1": 0}


def candidate(widths: list[int], score: float, estimate: float, **changes: object) -> Json:
    """One architecture of the search."""
    return {
        "family": "resnet",
        "params": {"widths": widths, "depths": [1, 2, 2], "input_shape": [1, 28, 28]},
        "score": score,
        "parameters": 125_300,
        "macs": 9_310_000,
        "estimate_bytes": 144_000,
        "estimate_ratio": estimate,
        "measured_ratio": None,
        "on_front": False,
        "picked": False,
        **changes,
    }


def sensitivity(
    name: str, weights: int, sizes: tuple[int, ...], divergences: tuple[float, ...]
) -> Json:
    """One layer at 8, 4, 3 and 2 bits."""
    widths = ("8", "4", "3", "2")
    return {
        "name": name,
        "weights": weights,
        "bytes": dict(zip(widths, sizes, strict=True)),
        "error": {"8": 0.012, "4": 0.0431, "3": 0.092, "2": 0.743},
        "divergence": dict(zip(widths, divergences, strict=True)),
    }


def manifest() -> Json:
    """A new one for each caller."""
    return {
        "schema": 1,
        "squeeze_version": "0.1.0",
        "name": "fashion",
        "date": "2026-11-29",
        "command": ["squeeze", "compile", "my model.pt2", "--calib", "fashion", "-o", "out"],
        "verdict": {
            "met": True,
            "picked": "student-int8",
            "why": "fastest of 2 candidates inside the goal",
            "sentence": "26.0x faster and 30.8x smaller than the teacher, 0.79 points lost",
            "goal": {"max_drop": 1.5},
            "checks": [
                {"what": "drop", "goal": 1.5, "got": 0.79, "ok": True},
                {"what": "bytes", "goal": 200_000, "got": 141_000, "ok": True},
            ],
        },
        "teacher": {"source": "my model.pt2", "kind": "pt2", "digest": "a" * 64},
        "target": {"name": "host", "summary": "this machine"},
        "recipe": {"name": "balanced", "seed": 7, "distill": {"steps": 5000}},
        "calib": {
            "name": "fashion",
            "digest": "b" * 64,
            "modality": "image",
            "assumed": ["a tenth of the samples is held out"],
            "splits": {"fit": {"samples": 9488, "digest": "c" * 64}},
        },
        "arch": {"family": "resnet", "params": {"widths": [8, 24, 48]}},
        "measurements": {
            "teacher": _TEACHER,
            "student": _STUDENT,
            "candidates": {
                "teacher": _TEACHER,
                "keep-int8": _TEACHER | {"metric": 94.15, "latency_p50_ms": 0.42},
                "student-4bit": _STUDENT | {"metric": 93.07, "file_bytes": 83_250},
                "student-int8": _STUDENT,
            },
        },
        "latency_ratio": {"teacher": 1.0, "keep-int8": 3.83, "student-int8": 25.7},
        "agreement": {"student-int8": 95.65},
        "steps": [
            {
                "name": "deploy",
                "status": "done",
                "summary": "int8 in 19 fused ops",
                "seconds": 244.3,
                "tried": [
                    {"name": "int8", "kept": True, "why": "3.2x faster", "numbers": {"ratio": 3.2}},
                    {
                        "name": "signed activations",
                        "kept": False,
                        "why": "undone, not faster",
                        "numbers": {},
                    },
                ],
            },
            {"name": "prune", "status": "skipped", "summary": "skipped: no need", "seconds": 0.0},
            {
                "name": "4bit",
                "status": "done",
                "summary": "AdaRound",
                "seconds": 20.0,
                "tried": [{"name": "student-4bit", "kept": False, "why": "1.61 points lost"}],
            },
        ],
        "search": {
            "reason": "best score inside the bound",
            "evaluated": 160,
            "taus": {"params": 0.52},
            "candidates": [
                candidate([8, 24, 48], 1.25, 0.08, measured_ratio=0.09, on_front=True, picked=True),
                candidate([16, 32, 64], 1.5, 0.3, on_front=True),
                candidate([8, 16, 16], 0.5, 0.05, measured_ratio=0.06),
                candidate([12, 16, 16], 0.4, 0.07),
            ],
        },
        "training": [
            {"step": 1000, "loss": 1.5, "lr": 0.2, "agreement": 80.25, "samples_per_s": 1480},
            {"step": 5000, "loss": 0.3125, "lr": 0.0, "agreement": 95.75, "samples_per_s": 1490},
        ],
        "sensitivity": [
            sensitivity("stem", 288, (784, 288, 244, 204), (0.00015, 0.0022, 0.0116, 0.6713)),
            sensitivity("block", 6912, (7008, 3568, 2696, 1828), (0.00015, 0.00004, 0.0066, 0.057)),
        ],
        "drops": {"student-4bit": {"calibrate": 1.61, "evaluate": 1.13}},
        "rungs": {"student-4bit": 1.61, "student-4bit-trained": -0.25},
        "cpus": {
            "cpus": [
                _CPU | {"cpu": "x86 with VNNI", "source": "measured"},
                _CPU
                | {"cpu": "x86 without VNNI", "source": "emulated", "metric": 93.36}
                | {"changed_top1": 17},
            ],
            "layers": [
                {"name": "stem_quant", "channels": 8, "channels_at_risk": 3, "pairs_at_risk": 5}
            ],
        },
        "size": {
            "quantised": 124_000,
            "unquantised": 1300,
            "index_bytes": 119_000,
            "codebook_bytes": 160,
            "scale_bytes": 4720,
            "stored_bits": 7.68,
            "mean_bits": 6.53,
            "entropy_bits": 6.49,
            "analytic_bytes": 107_125.5,
            "file_bytes": 141_000,
            "zlib_bytes": 117_300,
            "gzip_bytes": 117_900,
            "float_weights": [],
        },
        "layers": [
            {
                "name": "stem",
                "op": "QConv",
                "shape": [1, 8, 28, 28],
                "us": 12.5,
                "share": 0.25,
                "macs": 56_448,
                "bits": 4,
                "bytes": 640,
            },
            {"name": "head", "op": "QGemm", "us": 37.5, "share": 0.75, "bytes": 12_800},
        ],
        "signature": {
            "inputs": [{"name": "x", "dtype": "float32", "shape": [1, 28, 28], "batch_axis": 0}],
            "outputs": [{"name": "logits", "dtype": "float32", "shape": [10], "batch_axis": 0}],
            "preprocess": {"x": {"layout": "NHW->NCHW", "mean": [0.286]}},
            "changes": ["opset 11 converted to 13"],
        },
        "versions": {"torch": "2.13.0", "onnxruntime": "1.31.1"},
        "host": {"cpu": "Xeon", "cores": 2, "threads": 2},
        "seeds": {"all": 7},
        "files": {"model.onnx": {"digest": "d" * 64, "bytes": 141_000}},
    }


def flips(chance: float = 0.07) -> Json:
    """What changed in answers, as parts of a manifest: 'shirt' goes from 91 to 85 of 101 samples."""

    def step(one: str, other: str, *counts: int) -> Json:
        kinds = zip(("became_wrong", "became_right", "still_wrong"), counts, strict=True)
        listed = {kind: {"count": n, "samples": list(range(n))} for kind, n in kinds}
        return {"from": one, "to": other, **listed}

    stages = ["teacher", "student-float", "student-int8"]
    right = {"teacher": [1793, 91], "student-float": [1786, 90], "student-int8": [1783, 85]}
    return {
        "flips": {
            "output": "y",
            "samples": 2000,
            "stages": stages,
            "steps": [step(*stages[:2], 20, 12, 5), step(*stages[1:], 10, 2, 1)],
            "whole": step("teacher", "student-int8", 28, 12, 6),
            "classes": {"number": [0, 3], "samples": [1899, 101], "right": right},
            "worst_class": {
                "class": 3,
                "name": "shirt",
                "drop": 600 / 101,
                "samples": 101,
                "before": 91,
                "after": 85,
                "became_wrong": 7,
                "became_right": 1,
                "chance": chance,
            },
        },
        "calibration_error": {"bins": 15, "teacher": 2.31, "student": 3.4},
    }
