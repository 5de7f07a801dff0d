"""The ladder: from post-training int8 up to trained int8, and down to 4, 3 and 2 bits while the drop budget lasts.

    int8 (from `deploy`)  ->  AdaRound  ->  quantised distillation              when int8 loses too much
    4, 3, 2 bits, or bits for each layer that fit a size:
        AdaRound  ->  quantised distillation  ->  sensitive layers at more bits  each when the one before loses too much

Every rung is a file that ONNX Runtime runs. Inside the ladder rungs are compared on the calibrate split; all of them go
to the judge, who alone sees the evaluation split, and the best one wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import graph, measure, quant
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.quant.allocate import allocate
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
    from squeeze.steps.judge import Judged
    from squeeze.teacher import Teacher
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON
Bits = dict[str, int]

WIDTHS = (4, 3, 2)
_BATCH = 64


@dataclass
class Ladder:
    """The rungs that were built: name -> file; and what each layer minds."""

    models: dict[str, Path] = field(default_factory=dict)
    sensitivity: list[Json] = field(default_factory=list)
    drops: dict[str, float] = field(default_factory=dict)


def wanted(recipe: Recipe, judged: Judged, name: str) -> str | None:
    """None when there is a reason to climb, else why int8 is enough."""
    if not recipe.quant.enabled:
        return "the recipe switches quantisation off"
    goal, int8 = recipe.goal, f"{name}-int8"
    if recipe.quant.bits < 8 or goal.objective == "smallest":
        return None
    if int8 not in judged.drops:
        return "int8 does not make this model faster; fewer bits would not either"
    if judged.drops[int8] > goal.max_drop:
        return None
    if goal.max_bytes is not None and judged.measurements[int8].file_bytes > goal.max_bytes:
        return None
    return "int8 is inside the goal"


def ladder(
    run: Run,
    recipe: Recipe,
    teacher: Teacher,
    calib: Calib,
    name: str,
    base: Deployed,
    metric: str,
) -> Ladder:
    """Climbs; `base` is the float model that is quantised, `name` the first word of the names of its files."""
    climb = _Climb(run, recipe, teacher, calib, name, base, metric)
    if recipe.quant.bits == 8 and climb.int8_drop() > recipe.goal.max_drop:
        climb.rungs("int8", {})
    for label, bits in climb.descents():
        if not climb.rungs(label, bits) and recipe.quant.bits == 8 and not climb.sized:
            break  # fewer bits would lose more
    return climb.found


class _Climb:
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
        self.float_path = base.step.path / "float.onnx"
        self.found = Ladder()
        self.batches = calibration(run, recipe.quant, teacher, calib)
        self.sample = calib.inputs(calib.calibrate, 0, 1)
        self.sized = recipe.goal.max_bytes is not None
        self._reference: Any = None  # Any: an array
        self._rows: list[Sensitivity] | None = None
        self._labelled: Step | None = None

    def descents(self) -> Iterator[tuple[str, Bits]]:
        """Labels and bits of layers, downwards. The layers of `rows` are in order; the first and last stay at 8."""
        goal, wanted_bits = self.recipe.goal, self.recipe.quant.bits
        if wanted_bits == 8 and not self.sized and goal.objective != "smallest":
            return
        if wanted_bits < 8:
            yield f"{wanted_bits}bit", self._uniform(wanted_bits)
        elif self.sized:
            yield from self._sized(int(goal.max_bytes or 0))
        else:
            for width in WIDTHS:
                yield f"{width}bit", self._uniform(width)

    def rungs(self, label: str, bits: Bits) -> bool:
        """Builds the rungs of these bits until one is inside the drop; whether one is."""
        limit, part = self.recipe.goal.max_drop, self.recipe.quant
        rounded = self._rung(label, bits, trained=False)
        if rounded <= limit:
            return True
        if part.method == "post-training" or part.steps == 0:
            return False
        trained = self._rung(f"{label}-trained", bits, trained=True)
        if trained <= limit or not bits or self.sized:
            return trained <= limit
        mixed = self._more_bits(bits)
        if mixed is None:
            return False
        return self._rung(f"{label}-mixed-trained", mixed, trained=True) <= limit

    def rows(self) -> list[Sensitivity]:
        """How much each layer minds 4, 3 and 2 bits, measured once."""
        if self._rows is None:
            part = self.recipe.quant

            def work(folder: Path) -> Json:
                found = sensitivity(
                    graph.load(self.float_path),
                    self.batches,
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
            self.found.sensitivity = rows
            self._rows = [_row(row) for row in rows]
        return self._rows

    def int8_drop(self) -> float:
        """Points lost on the calibrate split by the int8 file of `deploy`."""
        path = self.base.step.path / "int8.onnx"
        return self._drop(path) if path.is_file() else float("inf")

    def _uniform(self, width: int) -> Bits:
        """All layers at `width`, the first and the last at what the recipe says."""
        rows, ends = self.rows(), self.recipe.quant.ends_bits
        bits = {r.name: width for r in rows[1:-1]}
        return bits | {r.name: ends for r in (rows[0], rows[-1]) if ends < 8}

    def _sized(self, max_bytes: int) -> Iterator[tuple[str, Bits]]:
        """Bits that fit into the file: what is not weights is measured on a file with all layers at 2 bits."""
        rows = self.rows()
        fixed = dict.fromkeys((rows[0].name, rows[-1].name), int(self.recipe.quant.ends_bits))
        least = self._uniform(2)
        built = self._build("2bit-probe", least)
        weights = sum(r.bytes[fixed.get(r.name, 2)] for r in rows)
        overhead = built - weights
        try:
            found = allocate(rows, max_bytes - overhead, fixed=fixed)
            bits = {n: b for n, b in found.bits.items() if b < 8}
        except ConfigError:
            self.run.skip(
                "ladder",
                f"{max_bytes / 1000:g} KB is below the {built / 1000:g} KB of all layers at 2 bits",
            )
            bits = least
        yield "fitted", bits

    def _more_bits(self, bits: Bits) -> Bits | None:
        """Half of the way to one more bit each, where the layers that mind most get it."""
        rows = self.rows()
        wider = {n: min(b + 1, 4) if b < 4 else 8 for n, b in bits.items()}
        now, then = (sum(r.bytes[b.get(r.name, 8)] for r in rows) for b in (bits, wider))
        if then <= now:
            return None
        fixed = {r.name: 8 for r in rows if r.name not in bits}
        found = allocate(rows, (now + then) // 2, fixed=fixed).bits
        mixed = {n: b for n, b in found.items() if b < 8}
        return None if mixed == bits else mixed

    def _rung(self, label: str, bits: Bits, *, trained: bool) -> float:
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
            lower(self.run, model, path, self.sample, tried)
            drop = self._drop(path)
            ratio = ratio_of(self.run, path, self.float_path, self.sample)
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
        self.found.models[name] = step.path / "rung.onnx"
        self.found.drops[name] = float(step.result["drop"])
        return float(step.result["drop"])

    def _labels(self) -> Step:
        if self._labelled is None:
            self._labelled = labelled(self.run, self.recipe, self.teacher, self.calib)
        return self._labelled

    def _rounded(self, bits: Bits, tried: list[Json]) -> ir.Model:
        part = self.recipe.quant.model_copy(update={"adaround": True})
        found = quant.quantize(
            graph.load(self.float_path),
            self.batches,
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

        part, model = self.recipe.quant, graph.load(self.float_path)
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

    def _build(self, label: str, bits: Bits) -> int:
        """Bytes of the file with these bits, rounded to nearest; nothing is judged by it."""

        def work(folder: Path) -> Json:
            part = self.recipe.quant.model_copy(update={"bias_correction": False})
            model = quant.quantize(
                graph.load(self.float_path),
                self.batches,
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

    def _drop(self, path: Path) -> float:
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
