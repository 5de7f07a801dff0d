"""Code of the user's own (a model's factory, a metric): looked for in the current folder, too."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def current_folder_importable() -> Iterator[None]:
    """As `python -m` does it; an installed command has only its own folder on the path."""
    folder = os.getcwd()
    if folder in sys.path or "" in sys.path:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
