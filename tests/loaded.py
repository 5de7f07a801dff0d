"""What commands load, for processes that are forked from one that has it: see tests/started.py.

Nothing is computed here but one export, whose first call loads as much as torch itself: neither a session of the
runtime nor a gradient, whose threads a fork would not have.
"""

from __future__ import annotations

import io
import logging
import warnings

import pytest  # noqa: F401  (multiprocessing imports the main module of its parent in each child)

logging.disable(logging.WARNING)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    import torch._export.serde.serialize

    exported = torch.export.export(torch.nn.Linear(1, 1).eval(), (torch.zeros(1, 1),))
    torch.onnx.export(exported, dynamo=True, verbose=False)
    written = io.BytesIO()
    torch.export.save(exported, written)
    written.seek(0)
    torch.export.load(written)
logging.disable(logging.NOTSET)
