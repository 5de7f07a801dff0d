"""What a file computes and stores, counted: multiply-accumulates, parameters, bytes, bits."""

from __future__ import annotations

from squeeze.account.contents import summary
from squeeze.account.stored import file_bytes
from squeeze.account.weigh import Complexity, complexity

__all__ = [
    "Complexity",
    "complexity",
    "file_bytes",
    "summary",
]
