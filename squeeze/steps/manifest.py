"""The manifest of a package: everything that is known of it but its digests, as JSON."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import squeeze
from squeeze import goal as goals
from squeeze import measure, metrics, seal
from squeeze.build_date import build_date
from squeeze.front import TEACHER
from squeeze.interface_changes import compare_interfaces
from squeeze.quant.borrowed.nncf import nncf_version
from squeeze.quantities import show_times
from squeeze.run import versions
from squeeze.steps.advice import advice
from squeeze.steps.climbing import lost_before
from squeeze.steps.flips import calibration
from squeeze.steps.judging import judged_of
from squeeze.steps.noise import few_judge
from squeeze.steps.planning import cuts, plans
from squeeze.steps.proof import size_account
from squeeze.strict_json import strict
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate, Front, Timed
    from squeeze.run import Run
    from squeeze.spec import Measurement, Recipe
    from squeeze.teacher import Teacher

Json = dict[str, Any]  # Any: JSON


def describe(
    run: Run,
    case: Case,
    device: Device,
    recipe: Recipe,
    front: Front,
    *,
    file: Path,
    contract: Json,
    measurements: dict[str, Measurement],
    found: Json,
    onnx: Json,
    there: Json | None,
    cpus: Json | None,
    flips: Json | None,
    name: str,
    command: list[str],
    licence: str | None = None,
) -> Json:
    """`file`: the model as it is written; `contract`: what it says of itself;
    `found`: drops, agreement and the like of every candidate on the evaluate split, by name; `there`: what was found
    of the device's own files, where it has some, and `onnx` what the ONNX file has then: drop_onnx and metric_onnx;
    `flips`: what changed in answers (`flips.changes`)."""
    picked, timed, teacher = front.pick(), front.timed(), case.teacher
    written = case.as_written()
    manifest: Json = {
        "schema": seal.SCHEMA,
        "squeeze_version": squeeze.__version__,
        "name": name,
        "date": build_date(),
        "command": command,
        "licence": licence,
        "verdict": _verdict(front, measurements, found, recipe, run.log),
        "notes_for_people": [
            *_notes(case, recipe, front, measurements[picked.name]),
            *cuts(run.log),
        ],
        "why_not": {n: front.why_not(n) for n in front.candidates if n != picked.name},
        "teacher": {
            "source": teacher.source,
            "kind": teacher.kind,
            "digest": teacher.digest,
            "of_one_file": _of_one_file(teacher),
            "params": teacher.params,
            "macs": teacher.macs,
            "census": teacher.census,
        },
        "supernet": None if run.supernet is None else run.supernet.to_json(),
        "target": device.target.model_dump(mode="json", by_alias=True),
        "recipe": recipe.model_dump(mode="json", by_alias=True),
        "calib": _calib(case, measurements),
        "arch": None if picked.net.arch is None else picked.net.arch.model_dump(mode="json"),
        "measurements": {
            "teacher": measurements[TEACHER].model_dump(mode="json"),
            "student": measurements[picked.name].model_dump(mode="json"),
            "candidates": {n: m.model_dump(mode="json") for n, m in measurements.items()},
        },
        "outputs": outputs_of(measurements, found, picked.name),
        "latency_ratio": {n: t.ratio for n, t in timed.items()},
        "latency_ratio_spread": {n: [t.ratio_p10, t.ratio_p90] for n, t in timed.items()},
        "drops": {
            n: {"calibrate": c.drop, "evaluate": found[n]["drop"]}
            for n, c in front.candidates.items()
        },
        "worst_class_drops": {
            n: {"calibrate": c.class_drop, "evaluate": found[n].get("class_drop")}
            for n, c in front.candidates.items()
        },
        "agreement": {n: one["agreement"] for n, one in found.items()},
        "flips": flips,
        "calibration_error": calibration(found, picked.name),
        "steps": run.log,
        "plans": plans(run.log),
        "search": _told(front, "search"),
        "training": _told(front, "training") or [],
        "sensitivity": _told(front, "sensitivity") or [],
        "rungs": {n: c.story["rung"] for n, c in front.candidates.items() if "rung" in c.story},
        "rung_bits": {n: c.story["bits"] for n, c in front.candidates.items() if "bits" in c.story},
        "device": _device(there, timed[picked.name], onnx),
        "cpus": cpus,
        "size": size_account(file, picked.net.file),
        "layers": measure.layers(file, written.interface, threads=device.threads),
        "signature": {
            **written.interface.to_json(),
            "preprocess": {
                n: p.model_dump(mode="json") for n, p in written.data.preprocesses.items()
            },
            "embedded": {n: p.model_dump(mode="json") for n, p in written.data.embedded.items()},
            "text": None if written.data.text is None else written.data.text.to_json(),
            "changes": changes_of(case, file),
        },
        "versions": _versions(picked, teacher),
        "contract": contract,
        "host": {
            "cpu": device.facts.host,
            "isa": list(device.facts.isa),
            "cores": device.facts.cores,
            "threads": run.threads,
        },
        "seeds": {"all": run.seed},
    }
    plain: Json = strict(manifest)
    return plain


def _versions(picked: Candidate, teacher: Teacher) -> dict[str, str]:
    """Of all libraries that the shipped file was made with."""
    found = versions()
    if "nncf" in picked.form and (borrowed := nncf_version()) is not None:
        found["nncf"] = borrowed
    if teacher.kind == "hf":
        found["transformers"] = version("transformers")
    return found


def _of_one_file(teacher: Teacher) -> bool:
    """Whether its digest is that of a file which lies there."""
    file = Path(teacher.source)
    return file.is_file() and digest_file(file) == teacher.digest


def _device(there: Json | None, timed: Timed, onnx: Json) -> Json | None:
    """What the device's own runtime says of the shipped file: cost, answers, and those of the ONNX file beside them."""
    if there is None:
        return None
    told: Json = {
        k: there[k] for k in ("files", "notes", "runtime", "outputs", "not_asked") if k in there
    }
    return {**told, "source": timed.source, "cost": timed.cost, **onnx}


def _verdict(
    front: Front,
    measurements: dict[str, Measurement],
    found: Json,
    recipe: Recipe,
    log: Sequence[Json],
) -> Json:
    """On the evaluate split, which nothing was chosen by unless `chosen_on` says so."""
    picked, timed = front.pick().name, front.timed()
    everything = {
        n: timed[n].reached(goals.Lost.of(found[n]), c.bytes, c.bits)
        for n, c in front.candidates.items()
    }
    goal = front.goal
    checks = goals.checks(goal, everything[picked])
    met = all(check.ok for check in checks)
    shipped, teacher = measurements[picked], measurements[TEACHER]
    drop = everything[picked].drop
    noise = " (within the noise of these samples)" if within_noise(teacher, shipped) else ""
    speed = _speed(timed[picked])
    size = show_times(teacher.file_bytes / shipped.file_bytes, "smaller", "larger", "as large")
    sentence = f"{picked}, against the teacher: {speed}, {size}, {drop:.2f} points lost{noise}"
    if not met:
        sentence = f"{goals.missed(picked, goal, everything)}; {sentence}"
    return {
        "met": met,
        "picked": picked,
        "why": pick_reason(front, met=met),
        "chosen_on": front.chosen_on,
        "sentence": sentence,
        "missed": None if met else goals.missed(picked, goal, everything),
        "try": []
        if met
        else advice(recipe.model_copy(update={"goal": goal}), everything[picked], log),
        "drop": drop,
        "goal": goal.model_dump(mode="json"),
        "checks": [asdict(check) for check in checks],
    }


def pick_reason(front: Front, *, met: bool) -> str:
    """Why the pick was picked; where it turns out otherwise than was known then, that too."""
    said = front.why()
    if met == front.met():
        return said
    turned = "inside" if met else "beyond"
    return f"{said} by the samples that it was chosen with; {turned} the goal by those that it is judged with"


def _speed(timed: Timed) -> str:
    """Against the teacher, in what the device is judged by."""
    if timed.what == "latency":
        said = show_times(timed.ratio, "faster", "slower", "as fast")
        return said if timed.source == "measured" else f"{said} ({timed.source})"
    return show_times(
        timed.ratio, f"less {timed.what}", f"more {timed.what}", f"as much {timed.what}"
    )


def within_noise(teacher: Measurement, shipped: Measurement) -> bool:
    """Whether one of the two values is inside the interval of the other: no difference that these samples show."""
    for one, other in ((teacher, shipped), (shipped, teacher)):
        if one.interval is not None and one.interval[0] <= other.metric <= one.interval[1]:
            return True
    return False


def _notes(case: Case, recipe: Recipe, front: Front, shipped: Measurement) -> list[str]:
    """What the last screen says beside numbers: what differs from the user's file, what was lost too early, and that
    few samples judge."""
    lost = [
        lost_before(c, recipe.goal)
        for c in front.candidates.values()
        if c.form == "float"
        and c.net.origin != "kept"
        and not goals.holds(recipe.goal, front.lost(c.name))
    ]
    few = few_judge(shipped, labelled=case.data.evaluate.y is not None)
    return [*changes_of(case, front.pick().shipped), *lost, *([few] if few else [])]


def changes_of(case: Case, file: Path) -> list[str]:
    """What a file that was made takes, gives and computes otherwise than the user's own; in words."""
    teacher = case.teacher
    own = Path(teacher.source) if teacher.kind == "onnx" else teacher.model
    return [*teacher.changes, *compare_interfaces(own, file)]


def outputs_of(measurements: dict[str, Measurement], found: Json, picked: str) -> list[Json]:
    """Each output that has a metric: the teacher's value, the file's with its interval, the drop, the judged one."""
    before, after = measurements[TEACHER].outputs, measurements[picked].outputs
    drops = found[picked]["drops"]
    judged = judged_of(drops)
    return [
        {
            "output": a.output,
            "metric": a.metric,
            "unit": metrics.resolve(a.metric).unit,
            "teacher": b.value,
            "student": a.value,
            "interval": a.interval,
            "drop": drops[i],
            "judged": i == judged,
        }
        for i, (b, a) in enumerate(zip(before, after, strict=True))
    ]


def _calib(case: Case, measurements: dict[str, Measurement]) -> Json:
    data = case.data
    splits = {"fit": data.fit, "calibrate": data.calibrate, "evaluate": data.evaluate}
    return {
        "name": data.name,
        "source": data.source,
        "digest": data.digest,
        "licence": data.licence,
        "metric": measurements[TEACHER].metric_name,
        "modality": data.modality,
        "class_names": list(data.class_names),
        "assumed": list(data.assumed),
        "splits": {n: {"samples": len(s), "digest": s.digest} for n, s in splits.items()},
    }


def _told(front: Front, what: str) -> Any:  # Any: JSON
    """What the newest network or candidate tells of `what`."""
    candidates: list[Candidate] = list(front.candidates.values())
    stories = [story for c in reversed(candidates) for story in (c.story, c.net.story)]
    return next((story[what] for story in stories if story.get(what)), None)
