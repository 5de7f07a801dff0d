"""MobileNetV1-0.25 on the wake words at 8 bits, for `benchmarks.quantisation`.

Calibrated on a part of one half of the 1,000 official images, judged on the other half.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import old_cpu
from benchmarks.cases import CASES
from benchmarks.feeds import latencies
from benchmarks.quant_files import FILES, Json
from benchmarks.quant_rows import RUNS, sizes
from squeeze import graph, measure, quant
from squeeze.old_x86.emulation import emulated
from squeeze.spec import QuantPart


def wake_words() -> Iterator[Json]:
    """One row without AdaRound, one with it: weights that are safe everywhere, the fastest lowering."""
    case = CASES["mlperf-mobilenetv1"]
    with tempfile.TemporaryDirectory(prefix="squeeze-") as scratch:
        folder = Path(scratch)
        model, data, interface = old_cpu.loaded(case, folder)
        passes = data.passes(interface, data.fit, range(len(data.fit)), 32)
        source = folder / "fp32.onnx"
        graph.save(model, source)
        sample = data.inputs(data.evaluate, 0, 1)
        expected, _ = old_cpu.judged(source, case, data, interface)

        def ratio(a: Path, b: Path) -> float:
            found = latencies({"a": a, "b": b}, sample, RUNS)
            return measure.compared(found["a"], found["b"]).ratio

        for adaround in (False, True):
            part = QuantPart(samples=len(data.fit), adaround=adaround)
            found = quant.quantize(model, passes, activations="uint8", part=part, reduce_range=True)
            plain = folder / f"int8-{adaround}.onnx"
            graph.save(found.model, plain)
            chosen = graph.fastest(found.model, plain, folder, ratio, lambda _: None)
            path = FILES / f"vww-mobilenetv1-{adaround}.onnx"
            fast = graph.load(plain if chosen is None or chosen[1] > 1 else chosen[0].path)
            graph.compact(fast)
            graph.save(fast, path)
            metric, outputs = old_cpu.judged(path, case, data, interface)
            checked = emulated(path)
            times = latencies({"int8": path, "fp32": source}, sample, RUNS)
            yield {
                "case": "vww-mobilenetv1",
                "network": "mobilenetv1-0.25",
                "method": "post-training-adaround" if adaround else "post-training",
                "bits": 8,
                "seed": old_cpu.SEED,
                "metric": round(metric, 2),
                "fp32_metric": round(expected, 2),
                "teacher_metric": round(expected, 2),
                "samples": len(outputs),
                "calibration_samples": len(data.fit),
                "bytes": path.stat().st_size,
                "fp32_bytes": source.stat().st_size,
                "teacher_bytes": source.stat().st_size,
                **sizes(path),
                "old_cpu_source": "emulated" if checked.layers else "proven equal",
                "latency_p50_ms": round(times["int8"].p50_ms, 4),
                "latency_ratio_to_fp32": round(
                    measure.compared(times["int8"], times["fp32"]).ratio, 3
                ),
                "lowered": [n.why for n in (chosen[0].notes if chosen else []) if n.kept],
            }
