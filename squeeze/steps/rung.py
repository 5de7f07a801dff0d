"""One rung of the ladder: the float model at given bits of its layers; rounded or trained, packed, and measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import graph, measure, quant
from squeeze.errors import UnsupportedError
from squeeze.quant.sensitivity import Sensitivity, sensitivity
from squeeze.steps.calibration import calibration
from squeeze.steps.deploy import activation_type, lower, ratio_of, safe_weights
from squeeze.steps.student import labelled

if TYPE_CHECKING:
    import onnx_ir as ir

    from squeeze.calib import Calib
    from squeeze.run import Run
    from squeeze.spec import QuantPart, Recipe
    from squeeze.steps.deploy import Deployed
    from squeeze.teacher import Teacher
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON
Bits = dict[str, int]  # output of a weighted node -> bits

_BATCH = 64


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

    def bytes_of(self, label: str, bits: Bits) -> int:
        """Bytes of the file with these bits, rounded to nearest; nothing is judged by it."""

        def work(folder: Path) -> Json:
            part = self.recipe.quant.model_copy(update={"bias_correction": False})
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
            size = len(graph.to_bytes(packed))
            return {"summary": f"{size / 1000:.1f} KB with all layers at 2 bits", "bytes": size}

        return int(self.run.step(label, self._inputs(bits), work).result["bytes"])

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
            measure.score(metric, outputs, y, reference=self._reference)
            for outputs in (self._reference, self._outputs(path))
        )
        return measure.drop(metric, before, after)

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
        from squeeze.quant.train.door import to_qdq
        from squeeze.quant.train.loop import Settings, train_quantised

        part, model = self.recipe.quant, graph.load(self._float)
        kind = activation_type(self.run.target.activations)
        low, high = (0, 255) if kind == "uint8" else (-128, 127)
        quantiser, options = _quantiser(part)
        settings = Settings(
            steps=part.steps,
            lr=part.lr,
            batch_size=self.recipe.distill.batch_size,
            method=part.method,  # type: ignore[arg-type]  # post-training was sent away before
            quantiser=quantiser,
            options=options,
            low=low,
            high=high,
        )
        found = train_quantised(
            model,
            bits,
            settings,
            source(self.recipe, self.teacher, self.calib, labels, self.run.seed),
            threads=self.run.threads,
            folder=folder / "training",
            progress=self.run.progress,
        )
        (folder / "training").rmdir()
        return to_qdq(model, found, kind)

    def _labels(self) -> Step:
        if self._labelled is None:
            self._labelled = labelled(self.run, self.recipe, self.teacher, self.calib)
        return self._labelled

    def _outputs(self, path: Path) -> Any:  # Any: an array
        session = measure.session(path, threads=self.run.threads)
        batches = self.calib.batches(self.calib.calibrate, _BATCH)
        return np.concatenate([measure.run(session, x) for x in batches])

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


def _quantiser(part: QuantPart) -> tuple[str, Json]:
    """What weights of few bits are trained with, and its options."""
    learned = part.method in ("differentiable", "mixed")
    name = part.quantiser
    if name == "auto":
        name = "codebook" if learned else "lsq"
    options: Json = {"scaling": part.weight_scaling, "bucket": part.bucket}
    if name == "uniform":
        return name, {**options, "rounding": part.rounding, "gradient": part.gradient}
    return name, options if name == "codebook" else {}


def source(recipe: Recipe, teacher: Teacher, calib: Calib, labels: Path, seed: int) -> Any:
    """Where batches of a training come from: a `quant.train.loop.Source`."""
    from squeeze.quant.train.loop import Source

    return Source(calib, recipe.distill, labels, seed, teacher.output_activation)


def _row(data: Json) -> Sensitivity:
    def table(name: str) -> dict[int, Any]:  # Any: a number
        return {int(b): v for b, v in data[name].items()}

    return Sensitivity(
        data["name"], data["weights"], table("bytes"), table("error"), table("divergence")
    )
