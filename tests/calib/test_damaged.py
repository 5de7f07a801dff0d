"""Any damage to the bytes of a set ends in a ConfigError, or in a set that is whole."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from squeeze import calib
from squeeze.errors import ConfigError


def written(kind: str) -> bytes:
    x, y = np.arange(120, dtype=np.float32).reshape(40, 3), np.arange(40) % 2
    file = io.BytesIO()
    if kind == "npy":
        np.save(file, x)
    elif kind == "npz":
        np.savez(file, x=x, y=y)
    else:
        np.savez_compressed(file, x=x, y=y)
    return file.getvalue()


WRITTEN = {kind: written(kind) for kind in ("npy", "npz", "compressed")}


def survives(path: Path) -> None:
    try:
        found = calib.load(str(path))
    except ConfigError as e:
        said = str(e)
    else:
        said = str(path)
        for split in (found.fit, found.calibrate, found.evaluate):
            assert np.isfinite(found.inputs(split)).all()
    assert str(path) in said
    assert len(said.splitlines()) <= 2


@pytest.mark.parametrize("kind", WRITTEN)
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6)
)
def test_changed_bytes_never_end_in_a_traceback(
    tmp_path: Path, kind: str, damage: list[tuple[float, int]]
) -> None:
    data = bytearray(WRITTEN[kind])
    for place, value in damage:
        data[int(place * len(data))] = value
    path = tmp_path / f"d.{'npy' if kind == 'npy' else 'npz'}"
    path.write_bytes(data)
    survives(path)


@pytest.mark.parametrize("kind", WRITTEN)
def test_file_cut_anywhere_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"d.{'npy' if kind == 'npy' else 'npz'}"
    data = WRITTEN[kind]
    for length in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:length])
        with pytest.raises(ConfigError):
            calib.load(str(path))


def test_headers_of_nonsense_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.npy"
    for text in (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-4, 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 3",
        "{'descr': 'zzz', 'fortran_order': False, 'shape': (4, 3)}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,)}",
        "__import__('os').system('true')",
        "(" * 900,
        "{'descr': '<f4', 'fortran_order': 1, 'shape': (4, 3)}",
        "{'descr': '|V4', 'fortran_order': False, 'shape': (4, 3)}",
        "\x00\xff",
    ):
        header = text.encode("latin1")
        path.write_bytes(
            b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(48)
        )
        with pytest.raises(ConfigError):
            calib.load(str(path))
