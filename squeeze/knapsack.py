"""One choice for each thing that has several, with the least summed loss inside of limits: an integer program.

    minimise    sum over things t and choices c of loss[t, c] z[t, c]
    subject to  sum over c of z[t, c] = 1 for each t,  sum cost[t, c] z[t, c] <= limit for each cost,  z in {0, 1}

SciPy's `milp` solves it to optimality.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# The largest loss becomes this, and what decides between equal ones adds up to 1: far above the solver's absolute gap
# of 1e-6, and only between equal losses.
LARGEST_LOSS = 1e6


def one_of_each(
    losses: NDArray[np.float64],  # [choices]
    between_equal: NDArray[np.float64],  # [choices]
    one_each: NDArray[np.float64],  # [things, choices]
    limits: Sequence[tuple[NDArray[np.float64], float]],  # (cost [choices], limit)
) -> NDArray[np.bool_] | None:
    """Which choices are taken, [choices]; None where none is inside all limits.

    one_each: 1 where a choice is one of a thing. between_equal: what there is to be little of where losses are equal.
    """
    # Here because it is heavy; it ships no types.
    from scipy.optimize import Bounds, LinearConstraint, milp  # type: ignore[import-untyped]

    largest = max(float(np.abs(losses).max(initial=0.0)), np.finfo(np.float64).tiny)
    objective = LARGEST_LOSS * losses / largest + between_equal / max(
        float(between_equal.sum()), 1.0
    )
    constraints: list[Any] = [LinearConstraint(one_each, 1, 1)]  # Any: no types
    constraints += [LinearConstraint(cost[None], -np.inf, limit) for cost, limit in limits]
    answer = milp(
        objective,
        integrality=np.ones(len(objective)),
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"mip_rel_gap": 0.0},
    )
    return None if answer.x is None else np.asarray(answer.x > 0.5)
