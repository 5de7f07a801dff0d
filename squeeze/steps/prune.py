"""Fewer channels: rounds of pruning with distillation between; one that does not make the model faster is undone."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import export, graph, quant
from squeeze.spec import ArchSpec
from squeeze.steps.calibration import calibration
from squeeze.steps.deploy import activation_type, lower, ratio_of, safe_weights
from squeeze.steps.student import labelled
from squeeze.steps.training import source

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn

    from squeeze.calib import Calib
    from squeeze.run import Run
    from squeeze.spec import Recipe
    from squeeze.steps.deploy import Deployed
    from squeeze.teacher import Teacher
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON

_SCORED = 256  # samples that importance is taken from
_BATCH = 64


def pruned(run: Run, recipe: Recipe, teacher: Teacher, calib: Calib, base: Deployed) -> Step | None:
    """The step with `pruned.onnx` (float), `weights.safetensors` and `arch` (a network); None when no round helped.

    Raises UnsupportedError for operators that torch does not know.
    """
    part = recipe.prune
    float_path = base.step.path / "float.onnx"
    labels = labelled(run, recipe, teacher, calib)

    def work(folder: Path) -> Json:
        return _work(run, recipe, teacher, calib, float_path, labels.path, folder)

    inputs = {
        "base": base.step.key,
        "part": part.model_dump(mode="json"),
        "labels": labels.key,
        "distill": recipe.distill.model_dump(mode="json"),
        "target": run.target.model_dump(mode="json"),
    }
    step = run.step("prune", inputs, work)
    return step if step.result["kept"] else None


def arch_of(step: Step) -> ArchSpec:
    """The architecture that the step's weights belong to."""
    return ArchSpec.model_validate(step.result["arch"])


def _work(
    run: Run,
    recipe: Recipe,
    teacher: Teacher,
    calib: Calib,
    float_path: Path,
    labels: Path,
    folder: Path,
) -> Json:
    import torch
    from safetensors.torch import save_file

    from squeeze import prune
    from squeeze.train.loop import torch_threads
    from squeeze.train.quantised.loop import Settings, recover

    part, example = recipe.prune, calib.inputs(calib.calibrate, 0, 2)
    importance: Any = prune.importance(part.importance)  # Any: each takes what it needs
    score = partial(importance, batches=_scored(teacher, calib, run.threads), loss=None)
    batches = calibration(run, recipe.quant, teacher, calib)
    rounds = 0

    def to_graph(module: nn.Module) -> ir.Model:
        model = export.to_ir(
            module.eval(),
            example,
            input_name=teacher.input.name,
            output_name=teacher.output.name,
            opset=run.target.opset,
        )
        graph.optimise(model, example[:1])
        return model

    def shipped(module: nn.Module, path: Path) -> Path:
        """The file that would be shipped, with rough ranges: what is timed."""
        rough = recipe.quant.model_copy(
            update={"observer": "minmax", "bias_correction": False, "adaround": False}
        )
        model = quant.quantize(
            to_graph(module),
            batches,
            activations=activation_type(run.target.activations),
            part=rough,
            reduce_range=safe_weights(run),
        ).model
        graph.save(model, path)
        lower(run, model, path, example[:1], [])
        return path

    def measure(after: nn.Module, before: nn.Module) -> float:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            files = [shipped(m, Path(scratch) / f"{n}.onnx") for n, m in enumerate((after, before))]
            return ratio_of(run, files[0], files[1], example[:1])

    def train(module: nn.Module) -> nn.Module:
        nonlocal rounds
        rounds += 1
        if part.steps == 0:
            return module
        settings = Settings(part.steps, part.lr, recipe.distill.batch_size)
        place = folder / f"training-{rounds}"
        model = recover(
            to_graph(module),
            settings,
            source(recipe, teacher, calib, labels, run.seed),
            threads=run.threads,
            folder=place,
            progress=run.progress,
        )
        place.rmdir()
        return _network(model)

    with torch_threads(run.threads):
        whole = _network(graph.load(float_path))
        found = prune.iterate(
            whole,
            torch.from_numpy(example),
            rounds=part.rounds,
            ratio=1 - (1 - part.ratio) ** (1 / part.rounds),
            score=score,
            train=train,
            measure=measure,
            export_ok=lambda module: True,
            scope=part.scope,
            align=part.align,
        )
        kept = any(r.kept for r in found.rounds)
        before, after = (prune.macs(m, torch.from_numpy(example)) for m in (whole, found.module))
        summary = f"{1 - after / before:.0%} fewer MACs" if kept else "no round made it faster here"
        result: Json = {"summary": summary, "tried": list(found.notes), "kept": kept}
        if not kept:
            return {**result, "status": "skipped"}
        graph.save(to_graph(found.module), folder / "pruned.onnx")
        module: Any = found.module  # Any: a Network
        state = {k: v.contiguous() for k, v in module.state_dict().items()}
        save_file(state, folder / "weights.safetensors")
        arch = ArchSpec(family="network", params=module.description())
        return {**result, "arch": arch.model_dump(mode="json")}


def _network(model: ir.Model) -> nn.Module:
    import torch
    from onnx_ir.passes.common import ShapeInferencePass

    from squeeze import students

    ShapeInferencePass(data_prop=True)(model)
    params, weights = export.from_ir(model)
    network = students.rebuild(ArchSpec(family="network", params=params))
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return network.eval()


def _scored(teacher: Teacher, calib: Calib, threads: int) -> list[Any]:
    """Batches of the fit split with labels and the teacher's logits, for importance."""
    import torch

    from squeeze.prune import Batch

    found = []
    for start in range(0, min(_SCORED, len(calib.fit)), _BATCH):
        x = calib.inputs(calib.fit, start, start + _BATCH)
        y = calib.fit.y
        labels = y[start : start + _BATCH] if y is not None and y.dtype.kind == "i" else None
        found.append(
            Batch(
                torch.from_numpy(x),
                None if labels is None else torch.from_numpy(labels),
                torch.from_numpy(teacher.outputs(x, threads).logits),
            )
        )
    return found
