"""States without data: computed by the teacher itself, which takes back what it gave for the sample before.

With zeros alone a state would have no range to quantise by. Every `_RUN` samples a sequence begins anew, as short clips
do, so that no state drifts away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import runtimes
from squeeze.calib.arrays import sealed
from squeeze.errors import ConfigError
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.feed import Array
    from squeeze.run import At, Run
    from squeeze.teacher import Teacher

Json = dict[str, Any]  # Any: JSON
_RUN = 32


def fed_back(run: Run, teacher: Teacher, data: Calib) -> Calib:
    """`data` with the states that the teacher goes through; as it is where there are none without data."""
    if not data.states:
        return data
    step = run.step("states", feed_back, teacher=teacher, data=data)
    splits = {}
    for split_name, split in data.splits.items():
        arrays = dict(split.arrays)
        for i, name in enumerate(data.states):
            arrays[name] = np.load(step.path / f"{split_name}-{i}.npy")
        splits[split_name] = sealed(arrays, split.y)
    said = tuple(
        f"state '{name}' takes what '{output}' gave for the sample before, from zero every {_RUN} samples"
        for name, output in data.states.items()
    )
    digest = digest_json([split.digest for split in splits.values()])
    return replace(
        data,
        fit=splits["fit"],
        calibrate=splits["calibrate"],
        evaluate=splits["evaluate"],
        digest=digest,
        assumed=(*data.assumed, *said),
    )


def feed_back(at: At, *, teacher: Teacher, data: Calib) -> Json:
    """Writes each state of each split, [n, ...], one sample after the other."""
    session = runtimes.session(teacher.model)
    specs = {spec.name: spec for spec in teacher.interface.inputs}
    for split_name, split in data.splits.items():
        states = {
            name: np.zeros((len(split), *specs[name].shape), specs[name].dtype)
            for name in data.states
        }
        for i in range(len(split) - 1):
            if (i + 1) % _RUN == 0:
                continue
            feed = {**data.feed(split, i, i + 1), **{n: x[i : i + 1] for n, x in states.items()}}
            given = runtimes.infer(session, feed, teacher.interface)
            for name, output in data.states.items():
                states[name][i + 1] = _checked(
                    given[output][0], name, output, states[name].shape[1:]
                )
        for i, values in enumerate(states.values()):
            np.save(at.folder / f"{split_name}-{i}.npy", values)
    names = ", ".join(f"{output} -> {name}" for name, output in data.states.items())
    return {"summary": f"fed back over consecutive samples: {names}"}


def _checked(value: Array, name: str, output: str, shape: tuple[int, ...]) -> Array:
    if value.shape != shape or not np.isfinite(value).all():
        why = f"is {list(value.shape)}" if value.shape != shape else "is not finite"
        raise ConfigError(
            f"state '{name}' {list(shape)}: its next value '{output}' {why}; give the data an array '{name}', or say "
            "sequence = false in its TOML"
        )
    return value
