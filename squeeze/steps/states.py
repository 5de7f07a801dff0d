"""States without data: computed by the teacher itself, which takes back what it gave for the sample before.

With zeros alone a state would have no range to quantise by. A sequence begins anew where the data say so, else every
`_RUN` samples, as short clips do, so that no state drifts away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import runtimes
from squeeze.calib.arrays import sealed
from squeeze.calib.preprocess import Preprocess
from squeeze.errors import ConfigError
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.feed import Array
    from squeeze.interface import TensorSpec
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
        states = {
            name: np.load(step.path / f"{split_name}-{i}.npy") for i, name in enumerate(data.states)
        }
        splits[split_name] = replace(
            split,
            arrays={**split.arrays, **states},
            digest=digest_json([split.digest, sealed(states, None).digest]),
        )
    anew = f"every {_RUN} samples" if data.steps is None else f"at each sequence of {data.steps}"
    said = tuple(
        f"state '{name}' takes what '{output}' gave for the sample before, from zero {anew}"
        for name, output in data.states.items()
    )
    digest = digest_json([split.digest for split in splits.values()])
    return replace(
        data,
        fit=splits["fit"],
        calibrate=splits["calibrate"],
        evaluate=splits["evaluate"],
        preprocesses={
            name: Preprocess(layout="as-is", scale=1.0, dtype=given.dtype)
            if name in data.states
            else given
            for name, given in data.preprocesses.items()
        },
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
            if (i + 1) % (data.steps or _RUN) == 0:
                continue
            feed = {**data.feed(split, i, i + 1), **{n: x[i : i + 1] for n, x in states.items()}}
            given = runtimes.infer(session, feed, teacher.interface)
            for name, output in data.states.items():
                tensor = teacher.interface.output(output).as_model(given[output])
                states[name][i + 1] = _taken_back(tensor, specs[name], output)
        for i, values in enumerate(states.values()):
            np.save(at.folder / f"{split_name}-{i}.npy", values)
    names = ", ".join(f"{output} -> {name}" for name, output in data.states.items())
    return {"summary": f"fed back over consecutive samples: {names}"}


def _taken_back(tensor: Array, taken: TensorSpec, output: str) -> Array:
    """What the output `output` gave, as one sample of the input `taken`."""
    fits = tensor.ndim == len(taken.axes)
    value = taken.as_samples(tensor)[0] if fits else tensor
    if value.shape != taken.shape or not np.isfinite(value).all():
        why = "is not finite" if value.shape == taken.shape else f"is {list(tensor.shape)}"
        raise ConfigError(
            f"state {taken}: its next value '{output}' {why}; give the data an array '{taken.name}', or say sequence = "
            "false in its TOML"
        )
    return np.asarray(value)
