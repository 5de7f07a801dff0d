"""One rung: a float network at given bits of its layers; rounded or trained, packed, scored on the calibrate split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from squeeze.front import Candidate
from squeeze.goal import Lost, holds
from squeeze.quant.bits.sensitivity import Sensitivity
from squeeze.quant.borrowed.nncf import nncf_version
from squeeze.steps.answering import answered
from squeeze.steps.borrowing import borrow_int8
from squeeze.steps.controlling import control
from squeeze.steps.counting_rows import count_rows
from squeeze.steps.equalising import FLOAT, equalise_channels
from squeeze.steps.planning import trainings
from squeeze.steps.planning_graphs import rung_part
from squeeze.steps.rung_work import count_bytes, round_bits, sense, time_layers, train_bits
from squeeze.steps.timing import FASTER

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.net import FloatNet
    from squeeze.run import Run
    from squeeze.spec import QuantPart, Recipe
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON
Bits = dict[str, int]  # output of a weighted node -> bits


@dataclass(frozen=True)
class Latencies:
    """layers_ms: layer -> bits -> milliseconds; rest_ms: everything that is no layer."""

    layers_ms: dict[str, dict[int, float]]
    rest_ms: float


class Rungs:
    """Builds rungs of one float network, whose passes made `base`; `candidates` are those that were built."""

    def __init__(
        self,
        run: Run,
        case: Case,
        device: Device,
        net: FloatNet,
        recipe: Recipe,
        base: Candidate,
    ) -> None:
        self.run, self.case, self.device, self.net = run, case, device, net
        self.recipe, self.base = recipe, base
        self.candidates: list[Candidate] = []
        self._trainings = trainings(recipe)
        self._rows: list[Sensitivity] | None = None
        self._table: list[Json] = []

    def rows(self) -> list[Sensitivity]:
        """How much each layer minds 4, 3 and 2 bits, measured once."""
        if self._rows is None:
            self._table = self._step("sensitivity", sense).result["rows"]
            self._rows = [Sensitivity.from_json(row) for row in self._table]
        return self._rows

    def build(self, label: str, bits: Bits, *, trained: bool) -> bool:
        """One rung as a step of its own; whether it is inside the drop."""
        if trained:
            part = self._planned(label, bits)
            if part is None:
                return False
            step = self._step(
                label,
                train_bits,
                part=part,
                bits=bits,
                answers=answered(self.run, self.case, self.recipe.distill),
                distill=self.recipe.distill,
                compute=self.run.compute,
            )
        else:
            step = self._step(label, round_bits, bits=bits)
        if "drop" not in step.result:
            return False
        self._add(
            label,
            step,
            min(bits.values(), default=8),
            {"rung": step.result["drop"], "bits": bits, "sensitivity": self._table},
        )
        return holds(self.recipe.goal, Lost.of(step.result))

    def equalise(self, drop: float) -> bool:
        """int8 with equalised channels; whether it is inside the drop, and faster than float. Where it loses less than
        `drop`, which int8 does without, later rungs start from there."""
        if not self.recipe.quant.equalise:
            return False
        step = self._step("int8-equalised", equalise_channels)
        found = step.result
        if "drop" not in found:
            return False
        self._add("int8-equalised", step, 8, {"rung": found["drop"], "bits": {}})
        if found["drop"] < drop:
            self.base = replace(self.base, file=step.path / FLOAT, digest=found["float_digest"])
        return found["ratio"] < FASTER and holds(self.recipe.goal, Lost.of(found))

    def borrow(self) -> bool:
        """int8 with what nncf finds; whether it is inside the drop."""
        label, installed = "int8-nncf", nncf_version()
        if installed is None:
            self.run.skip(label, "nncf is not installed; pip install nncf lets it try")
            return False
        step = self._step(label, borrow_int8, nncf=installed)
        if "drop" not in step.result:
            return False
        self._add(label, step, 8, {"rung": step.result["drop"], "bits": {}})
        return holds(self.recipe.goal, Lost.of(step.result))

    def by_row(self) -> bool:
        """int8 with a scale for each row of activations; whether it is inside the drop, and faster than float."""
        step = self._step("int8-by-row", count_rows)
        found = step.result
        if "drop" not in found:
            return False
        self._add("int8-by-row", step, 8, {"rung": found["drop"], "bits": {}})
        return found["ratio"] < FASTER and holds(self.recipe.goal, Lost.of(found))

    def control(self, *, most_share: float, store_float: bool) -> Json | None:
        """int8 with as few nodes in float as the drop allows, at most `most_share` of them; what the step found, None
        where nothing is enough. store_float: their weights are in int8."""
        step = self._step(
            "control",
            control,
            max_drop=self.recipe.goal.max_drop,
            max_class_drop=self.recipe.goal.max_worst_class_drop,
            most_share=most_share,
            store_float=store_float,
        )
        if "drop" not in step.result:
            return None
        self._add(
            "int8-controlled",
            step,
            8,
            {"rung": step.result["drop"], "bits": {}, "float": step.result["float"]},
        )
        return step.result if holds(self.recipe.goal, Lost.of(step.result)) else None

    def latencies(self) -> Latencies | None:
        """What each layer takes at 8, 4, 3 and 2 bits; None where the runtime's nodes are not the layers one by one."""
        names = tuple(row.name for row in self.rows())
        found = self._step("latencies", time_layers, layers=names).result
        if "layers_ms" not in found:
            return None
        layers = {n: {int(b): ms for b, ms in t.items()} for n, t in found["layers_ms"].items()}
        return Latencies(layers, float(found["rest_ms"]))

    def bytes_of(self, label: str, bits: Bits) -> int:
        """Bytes of the file with these bits, rounded to nearest; nothing is judged by it."""
        return int(self._step(label, count_bytes, bits=bits).result["bytes"])

    def _add(self, label: str, step: Step, bits: int, story: Json) -> None:
        file = step.path / "rung.onnx"
        self.candidates.append(Candidate.of(self.net, label, file, step.result, bits, story))

    def _planned(self, label: str, bits: Bits) -> QuantPart | None:
        """How the next training goes, in the time that there is; None where there is none."""
        times, self._trainings = max(1, self._trainings), self._trainings - 1
        activations = self.device.numerics.activations
        return rung_part(
            self.run, self.case, self.recipe, self.base, label, bits, times, activations
        )

    def _step(self, name: str, work: Any, **given: Any) -> Step:  # Any: see Run.step
        return self.run.step(
            name,
            work,
            measured_on=self.device,
            base=self.base,
            case=self.case.blind(),
            seed=self.run.seed,
            threads=self.run.threads,
            **{"part": self.recipe.quant, **given},
        )
