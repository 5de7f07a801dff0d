"""Preprocessing inside of the written file, where it was asked for: `--embed-preprocess`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from squeeze import graph
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.front import TEACHER, Candidate, Written
from squeeze.graph.preprocessing import embed
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.net import FloatNet
    from squeeze.run import At, Run

Json = dict[str, Any]  # Any: JSON
OPTION = "--embed-preprocess"


def refuse_embedding(devices: Iterable[Device], *, data: bool) -> None:
    """Raises UnsupportedError for a device that loads another file than the one with the preprocessing, ConfigError
    without data."""
    if not data:
        raise ConfigError(
            f"{OPTION}: without data nobody knows what an app has; give samples as it has them with --calib"
        )
    for device in devices:
        if device.runtime is not None:
            raise UnsupportedError(
                f"{OPTION}: is for files that ONNX Runtime runs here; for target '{device.name}' leave it away: "
                "squeeze.inputs in the file says what an app has to do"
            )


def embedding(case: Case) -> Case:
    """The case whose files do the preprocessing themselves. Raises ConfigError where there is none to do."""
    found = replace(case, embeds=True)
    if not found.as_written().data.embedded:
        raise ConfigError(
            f"{OPTION}: {case.data.source}: samples are stored as the model takes them, so there is nothing to embed; "
            "store them as an app has them, such as bytes of pixels, or leave it away"
        )
    return found


def as_written(run: Run, case: Case, candidates: tuple[Candidate, ...]) -> list[Candidate]:
    """The candidates with the files that are written of them; the teacher is what people have, and stays."""
    ours = tuple(c for c in candidates if c.form != TEACHER)
    if not ours:
        return list(candidates)
    step = run.step("embed", build, candidates=ours, case=case.as_written().blind(), net=case.net)
    files = step.result["files"]
    return [
        replace(c, written=Written(step.path / files[c.name][0], files[c.name][1]))
        if c.name in files
        else c
        for c in candidates
    ]


def build(at: At, *, candidates: tuple[Candidate, ...], case: Case, net: FloatNet) -> Json:
    """Writes each candidate with its preprocessing. case: as written; net: the network, with what that takes."""
    takes = {spec.name: spec for spec in case.interface.inputs}
    files = {}
    for candidate in candidates:
        model = graph.load(candidate.file)
        for spec in net.interface.inputs:
            if (known := case.data.embedded.get(spec.name)) is not None:
                embed(model, spec, known, takes[spec.name])
        file = at.folder / f"{candidate.name}.onnx"
        graph.save(model, file)
        files[candidate.name] = [file.name, digest_file(file)]
    names = ", ".join(f"'{name}'" for name in case.data.embedded)
    return {"summary": f"preprocessing of {names} put into {len(files)} files", "files": files}
