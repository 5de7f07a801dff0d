"""Fewer samples to train with: some of the fit split, chosen once; who answers and who learns sees no other ones."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from squeeze.case import Case
    from squeeze.run import Run
    from squeeze.spec import DistillPart


def fewer(run: Run, case: Case, part: DistillPart) -> Case:
    """`case` with the share `part.keep` of its fit split, balanced over classes, where it is chosen once."""
    if part.keep == 1 or part.keep_chosen == "anew":
        return case
    data = case.data
    count = max(1, math.ceil(part.keep * len(data.fit) - 1e-9))
    rows = np.sort(data.sample(data.fit, count, run.seed))
    run.tell("fewer-samples", f"{count:,} of {len(data.fit):,} samples are trained with")
    return with_rows(case, rows, f"{part.keep:g}-{run.seed}")


def with_rows(case: Case, rows: NDArray[np.intp], said: str) -> Case:
    """`case` with these samples of its fit split alone. said: what decides which they are."""
    data = case.data
    return replace(case, data=data.with_fit(data.fit.some(rows, said)))
