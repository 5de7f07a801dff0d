"""A model with its inputs in the runtime's memory, and outputs that are fresh in every run, as an app has them.

What a run wrote stays bound: the next one would write into the same buffers, where nothing has to be allocated and the
caches are warm. They are let go of before each run, outside of what is timed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import onnxruntime as ort


class Bound:
    """One open model, ready to run; `prepare` before each `run`."""

    def __init__(
        self, opened: ort.InferenceSession, feeds: Mapping[str, npt.NDArray[np.generic]]
    ) -> None:
        self._opened, self._binding = opened, opened.io_binding()
        self._outputs = [output.name for output in opened.get_outputs()]
        for name, x in feeds.items():
            self._binding.bind_cpu_input(name, np.asarray(x, order="C"))

    def prepare(self) -> None:
        """Lets go of the outputs of the last run."""
        self._binding.clear_binding_outputs()
        for name in self._outputs:
            self._binding.bind_output(name, "cpu")

    def run(self) -> None:
        """One inference."""
        self._opened.run_with_iobinding(self._binding)
