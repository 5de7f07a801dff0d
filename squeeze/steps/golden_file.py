"""How arrays of a package are stored: the same bytes for the same arrays."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from squeeze.feed import Array

SAMPLES = 8
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def npz(arrays: Mapping[str, Array]) -> bytes:
    """Like np.savez, but with the same bytes for the same arrays: no time stamps."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in sorted(arrays.items()):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _ZIP_EPOCH), member.getvalue())
    return buffer.getvalue()
