"""How many parameters a student's file has room for, by what the same architecture took in the form that is shipped.

An estimate: of the tensors bytes go with the parameters (tables that stay float, scales and biases among them), of
nodes, names and functions the teacher's are taken, which has as many layers or more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.account import complexity
from squeeze.front import TEACHER

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from squeeze.front import Candidate


def smallest_form(candidates: Iterable[Candidate]) -> Path | None:
    """The smallest file that was made of a teacher's own network; None where there is none yet."""
    made = [c for c in candidates if c.form != TEACHER]
    return min(made, key=lambda c: c.bare_bytes).shipped if made else None


def parameters_within(most_bytes: float, form: Path | None, parameters: int) -> float:
    """Of a network inside `most_bytes`. form: the file of one of so many `parameters`; None: a byte for each."""
    if form is None:
        return max(0.0, most_bytes)
    found = complexity(form)
    of_graph = found.file_bytes - found.weight_bytes
    return max(0.0, (most_bytes - of_graph) / max(1.0, found.weight_bytes / parameters))
