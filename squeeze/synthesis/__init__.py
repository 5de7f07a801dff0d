"""No data? Inputs made from the teacher alone, good enough to find activation ranges, never to judge accuracy.

    data = synthesise(teacher)              a Calib; what is assumed about it is said in data.assumed

Where the teacher has batch normalisations, its inputs are sought that leave the statistics of training in each of them
(SRe2L, with the crops of CDA). Where they are folded, only smooth images of the right scale that the teacher takes for
its classes. Modules: watched (the teacher in torch), objective, views (crops and shifts), invert (the descent).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from squeeze.calib.arrays import from_arrays
from squeeze.calib.modality import infer
from squeeze.errors import ConfigError
from squeeze.progress import Progress

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.synthesis.invert import Inverted
    from squeeze.teacher import Teacher

__all__ = ["synthesise"]

logger = logging.getLogger(__name__)

NAME = "synthetic"
_COUNT = 256
# Of all samples, so many to train on and so many to judge agreement by; the others calibrate.
_ASIDE = _COUNT // 8
# Of gradient descent, for each batch of samples.
_STEPS = 100
_RANKS = (1, 2, 3)


def synthesise(
    teacher: Teacher,
    *,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Calib:
    """A calibration set named "synthetic" of 256 inputs for `teacher`: 1/8 fit, 3/4 calibrate, 1/8 evaluate.

    Samples are float32 as the model takes them, without labels, judged by agreement. The same arguments give the same
    samples.

    Raises ConfigError when inputs cannot be synthesised: the teacher has several inputs or outputs, takes integers,
    more than three axes, a batch elsewhere or sizes that torch cannot follow, or gives neither batch normalisations nor
    classes to go by. The message asks for data.
    """
    from squeeze.synthesis.invert import invert
    from squeeze.synthesis.watched import NEEDS_DATA

    inputs, outputs = teacher.interface.inputs, teacher.interface.outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise ConfigError(
            f"{teacher.source}: {NEEDS_DATA}: it has {len(inputs)} inputs and {len(outputs)} outputs; allowed: one of"
            " each"
        )
    (taken,) = inputs
    if taken.dtype != "float32" or len(taken.shape) not in _RANKS or taken.batch_axis != 0:
        raise ConfigError(
            f"{teacher.source}: {NEEDS_DATA}: it takes {taken}; allowed: float32 vectors, signals and images,"
            " batch first"
        )
    found = invert(
        teacher, _COUNT, steps=_STEPS, seed=seed, threads=threads, progress=progress or Progress()
    )
    assumed = _said(found)
    logger.warning("%s: %s", NAME, assumed)
    fit, evaluate, calibrate = np.split(found.x, [_ASIDE, 2 * _ASIDE])
    return from_arrays(
        NAME,
        fit=fit,
        calibrate=calibrate,
        evaluate=evaluate,
        modality=infer(found.x),
        assumed=(assumed,),
    )


def _said(found: Inverted) -> str:
    if found.norms:
        source = f"the statistics of its {found.norms} batch normalisations"
    else:
        source = (
            "its classes alone, for its batch normalisations are folded away; ranges may be far off"
        )
    taken = ""
    if found.recognised is not None:
        taken = f"; it takes {100 * found.recognised:.0f} % of them for the class that was wanted"
    return (
        f"no data was given: samples are synthesised from the teacher, from {source}{taken}. "
        "Agreement is measured on synthetic samples; the accuracy on real data is unknown"
    )
