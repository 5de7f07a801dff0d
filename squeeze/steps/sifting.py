"""Samples of --extra that teachers are unsure of are left out: they are of other kinds than the set's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze.calib import Split
from squeeze.errors import ConfigError
from squeeze.feed import as_taken
from squeeze.guides.ask import ask
from squeeze.guides.confidence import as_sure, joint_confidence
from squeeze.steps.answering import untrainable
from squeeze.steps.fewer_samples import with_rows
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from squeeze.calib import Calib
    from squeeze.case import Case
    from squeeze.guides.panel import Panel
    from squeeze.run import At, Run
    from squeeze.spec import DistillPart
    from squeeze.teacher import Teacher

Json = dict[str, Any]  # Any: JSON

_AT_ONCE = 1024  # samples
_KEPT = "kept.npy"


def sifted(run: Run, case: Case, part: DistillPart) -> Case:
    """`case` without the extra samples of which its teachers are less sure than of all but `part.least_sure` of the
    calibrate split. Raises ConfigError where teachers do not say classes."""
    share, data = part.least_sure, case.data
    if share == 0 or data.fit.extra == 0:
        return case
    why = untrainable(case)
    if why or (data.classes is None and case.teacher.output_activation == "none"):
        raise ConfigError(
            f"distill.least_sure: {why or 'is for classes, and nothing says that outputs are'}; set it to 0"
        )
    beside: dict[str, Any] = {} if run.panel is None else {"panel": run.panel}
    step = run.step(
        "sift",
        sift,
        teacher=case.teacher,
        data=data.blind(),
        share=share,
        threads=run.threads,
        **beside,
    )
    rows = np.load(step.path / _KEPT, allow_pickle=False)
    return with_rows(case, rows, step.result["digest"])


def sift(
    at: At, *, teacher: Teacher, data: Calib, share: float, threads: int, panel: Panel | None = None
) -> Json:
    """Writes the numbers of the samples to fit with: all of the set's own, and the extra ones that stay."""
    own = len(data.fit) - data.fit.extra
    known = _confidence(teacher, panel, data, data.calibrate, 0, threads)
    found = _confidence(teacher, panel, data, data.fit, own, threads)
    stays = as_sure(found, known, share)
    kept = at.folder / _KEPT
    np.save(kept, np.concatenate([np.arange(own), own + np.flatnonzero(stays)]))
    least = float(np.quantile(known, share, method="lower"))
    return {
        "summary": f"{stays.sum():,} of {len(stays):,} extra samples stay, of which teachers are {least:.0%} sure",
        "kept": int(stays.sum()),
        "digest": digest_file(kept),
    }


def _confidence(
    teacher: Teacher, panel: Panel | None, data: Calib, split: Split, first: int, threads: int
) -> NDArray[np.float32]:
    """Of the samples of a split from `first` on."""
    everyone = (teacher, *(() if panel is None else panel.others))
    weights = (1.0, *(() if panel is None else panel.weights))
    parts = []
    for start in range(first, len(split), _AT_ONCE):
        feed = data.feed(split, start, min(start + _AT_ONCE, len(split)))
        answers = [ask(one, as_taken(feed), (), threads).logits for one in everyone]
        parts.append(joint_confidence(answers, weights))
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
