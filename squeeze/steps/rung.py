"""One rung of the ladder: the float model at given bits of its layers; rounded or trained, packed, and measured."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import graph, measure, metrics, quant, runtimes
from squeeze.errors import UnsupportedError
from squeeze.graph.lower import PACKED, made
from squeeze.quant.bits.sensitivity import Sensitivity, sensitivity
from squeeze.quant.weights.levels import FEW_BITS
from squeeze.steps.calibration import calibration
from squeeze.steps.deploy import activation_type, lower, ratio_of, safe_weights
from squeeze.steps.student import labelled
from squeeze.steps.training import settings, source

if TYPE_CHECKING:
    import onnx_ir as ir

    from squeeze.calib import Calib
    from squeeze.run import Run
    from squeeze.spec import Recipe
    from squeeze.steps.deploy import Deployed
    from squeeze.teacher import Teacher
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON
Bits = dict[str, int]  # output of a weighted node -> bits

_BATCH = 64


@dataclass(frozen=True)
class Latencies:
    """layers_ms: layer -> bits -> milliseconds; rest_ms: everything that is no layer."""

    layers_ms: dict[str, dict[int, float]]
    rest_ms: float


class Rungs:
    """Builds rungs of one float model. `models`: name -> file; `drops`: points lost on the calibrate split."""

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        teacher: Teacher,
        calib: Calib,
        name: str,
        base: Deployed,
        metric: str,
    ) -> None:
        self.run, self.recipe, self.teacher, self.calib = run, recipe, teacher, calib
        self.name, self.base, self.metric = name, base, metric
        self.models: dict[str, Path] = {}
        self.drops: dict[str, float] = {}
        self.sensitivity: list[Json] = []
        self._float = base.step.path / "float.onnx"
        self._batches = calibration(run, recipe.quant, teacher, calib)
        self._sample = calib.inputs(calib.calibrate, 0, 1)
        self._reference: Any = None  # Any: an array
        self._rows: list[Sensitivity] | None = None
        self._labelled: Step | None = None

    def rows(self) -> list[Sensitivity]:
        """How much each layer minds 4, 3 and 2 bits, measured once."""
        if self._rows is None:
            part = self.recipe.quant

            def work(folder: Path) -> Json:
                found = sensitivity(
                    graph.load(self._float),
                    self._batches,
                    activations=activation_type(self.run.target.activations),
                    part=part,
                    scaling=part.scaling,
                    reduce_range=safe_weights(self.run),
                    progress=self.run.progress,
                )
                worst = max(found, key=lambda r: r.divergence.get(2, 0.0))
                return {
                    "summary": f"{len(found)} layers at 4, 3 and 2 bits; '{worst.name}' minds most",
                    "rows": [row.to_json() for row in found],
                }

            rows = self.run.step("sensitivity", self._inputs({}), work).result["rows"]
            self.sensitivity = rows
            self._rows = [_row(row) for row in rows]
        return self._rows

    def build(self, label: str, bits: Bits, *, trained: bool) -> float:
        """One rung as a step of its own; returns the points it loses on the calibrate split."""
        name = f"{self.name}-{label}"
        inputs = self._inputs(bits)
        if trained:
            labels = self._labels()
            inputs |= {"labels": labels.key, "distill": self.recipe.distill.model_dump(mode="json")}

        def work(folder: Path) -> Json:
            tried: list[Json] = []
            path = folder / "rung.onnx"
            try:
                model = (
                    self._trained(bits, labels.path, folder)
                    if trained
                    else self._rounded(bits, tried)
                )
            except UnsupportedError as e:
                return {"summary": f"not trained: {e}", "tried": tried, "status": "skipped"}
            graph.save(model, path)
            lower(self.run, model, path, self._sample, tried)
            tried.extend(_unpacked(path, bits))
            drop = self.drop(path)
            ratio = ratio_of(self.run, path, self._float, self._sample)
            kept = drop <= self.recipe.goal.max_drop
            how = self.recipe.quant.method if trained else "AdaRound"
            why = (
                f"{how}: {drop:+.2f} points lost on the calibrate split, {path.stat().st_size / 1000:.1f} KB, "
                f"{1 / ratio:.1f}x the speed of the float graph"
            )
            entry = {"name": name, "kept": kept, "why": why, "bits": bits}
            tried.append({**entry, "numbers": {"drop": drop, "ratio": ratio}})
            return {"summary": why, "tried": tried, "drop": drop, "ratio": ratio, "bits": bits}

        step = self.run.step(name.removeprefix(f"{self.name}-"), inputs, work)
        if "drop" not in step.result:
            return float("inf")
        self.models[name] = step.path / "rung.onnx"
        self.drops[name] = float(step.result["drop"])
        return float(step.result["drop"])

    def latencies(self) -> Latencies | None:
        """What each layer takes at 8, 4, 3 and 2 bits, from files with all layers so; None where the nodes that the
        runtime made are not the layers one by one."""
        rows = self.rows()

        def work(folder: Path) -> Json:
            table: dict[str, dict[str, float]] = {row.name: {} for row in rows}
            rest_ms = 0.0
            for width in (8, *FEW_BITS):
                path = folder / f"{width}bit.onnx"
                graph.save(self._packed({row.name: width for row in rows[1:-1]}), path)
                nodes = measure.layers(path, threads=self.run.target.threads)
                products = [node for node in nodes if _is_product(node)]
                if len(products) != len(rows):
                    return {"summary": "the runtime joins layers; not known one by one"}
                for row, node in zip(rows, products, strict=True):
                    table[row.name][str(width)] = node["us"] / 1e3
                rest_ms = max(rest_ms, sum(n["us"] for n in nodes if not _is_product(n)) / 1e3)
            return {"summary": "each layer timed", "layers_ms": table, "rest_ms": rest_ms}

        found = self.run.step("latencies", self._inputs({}), work).result
        if "layers_ms" not in found:
            return None
        layers = {n: {int(b): ms for b, ms in t.items()} for n, t in found["layers_ms"].items()}
        return Latencies(layers, float(found["rest_ms"]))

    def bytes_of(self, label: str, bits: Bits) -> int:
        """Bytes of the file with these bits, rounded to nearest; nothing is judged by it."""

        def work(folder: Path) -> Json:
            size = len(graph.to_bytes(self._packed(bits)))
            return {"summary": f"{size / 1000:.1f} KB with {_words(bits)}", "bytes": size}

        return int(self.run.step(label, self._inputs(bits), work).result["bytes"])

    def _packed(self, bits: Bits) -> ir.Model:
        """The file of these bits, rounded to nearest: for bytes and times, not for accuracy."""
        part = self.recipe.quant.model_copy(
            update={"bias_correction": False, "adaround": False, "smooth": False}
        )
        model = quant.quantize(
            graph.load(self._float),
            self._batches,
            activations=activation_type(self.run.target.activations),
            part=part,
            reduce_range=safe_weights(self.run),
            bits=bits,
        ).model
        packed, _ = graph.lower(model)
        graph.compact(packed)
        return packed

    def int8_drop(self) -> float:
        """Points lost on the calibrate split by the int8 file of `deploy`."""
        path = self.base.step.path / "int8.onnx"
        return self.drop(path) if path.is_file() else float("inf")

    def drop(self, path: Path) -> float:
        """Points of the metric lost against the teacher on the calibrate split."""
        calib, metric = self.calib, self.metric
        if self._reference is None:
            self._reference = self._outputs(self.teacher.model)
        y = calib.calibrate.y
        before, after = (
            metrics.score(metric, outputs, y, reference=self._reference)
            for outputs in (self._reference, self._outputs(path))
        )
        return metrics.drop(metric, before, after)

    def _rounded(self, bits: Bits, tried: list[Json]) -> ir.Model:
        part = self.recipe.quant.model_copy(update={"adaround": True})
        found = quant.quantize(
            graph.load(self._float),
            self._batches,
            activations=activation_type(self.run.target.activations),
            part=part,
            progress=self.run.progress,
            reduce_range=safe_weights(self.run),
            bits=bits,
            scaling=part.scaling,
        )
        tried.extend(found.notes)
        return found.model

    def _trained(self, bits: Bits, labels: Path, folder: Path) -> ir.Model:
        from squeeze.train.quantised.door import to_qdq
        from squeeze.train.quantised.loop import train_quantised

        model, place = graph.load(self._float), folder / "training"
        kind = activation_type(self.run.target.activations)
        found = train_quantised(
            model,
            bits,
            settings(self.recipe, kind),
            source(self.recipe, self.teacher, self.calib, labels, self.run.seed),
            threads=self.run.threads,
            folder=place,
            progress=self.run.progress,
        )
        place.rmdir()
        return to_qdq(model, found, kind)

    def _labels(self) -> Step:
        if self._labelled is None:
            self._labelled = labelled(self.run, self.recipe, self.teacher, self.calib)
        return self._labelled

    def _outputs(self, path: Path) -> Any:  # Any: an array
        session = runtimes.session(path, threads=self.run.threads)
        batches = self.calib.batches(self.calib.calibrate, _BATCH)
        return np.concatenate([runtimes.run(session, x) for x in batches])

    def _inputs(self, bits: Bits) -> Json:
        return {
            "base": self.base.step.key,
            "bits": bits,
            "part": self.recipe.quant.model_dump(mode="json"),
            "calibrate": self.calib.calibrate.digest,
            "target": self.run.target.model_dump(mode="json"),
            "limit": self.recipe.goal.max_drop,
            "metric": self.metric,
        }


def _unpacked(path: Path, bits: Bits) -> list[Json]:
    """The note of layers that were to have few bits and still take a byte a weight."""
    few = sum(b < 8 for b in bits.values())
    left = few - made(graph.load(path)).get(PACKED, 0)
    if left <= 0:
        return []
    why = (
        f"{left} of {few} layers of few bits stay in int8: a codebook op would take more bytes than it saves there, "
        "or fits no such node"
    )
    return [{"name": "packed weights", "kept": False, "why": why, "numbers": {"layers": left}}]


def _words(bits: Bits) -> str:
    counts = Counter(bits.values())
    return ", ".join(f"{count} layers at {width} bits" for width, count in sorted(counts.items()))


def _is_product(node: Json) -> bool:
    """Whether a node of the runtime is a layer with weights."""
    return any(word in node["op"] for word in ("Conv", "Gemm", "MatMul"))


def _row(data: Json) -> Sensitivity:
    def table(name: str) -> dict[int, Any]:  # Any: a number
        return {int(b): v for b, v in data[name].items()}

    return Sensitivity(
        data["name"], data["weights"], table("bytes"), table("error"), table("divergence")
    )
