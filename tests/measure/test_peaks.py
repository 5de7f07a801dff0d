"""Rates of this machine: what they are of, not how high they are."""

from __future__ import annotations

from squeeze.measure.peaks import peaks


def test_every_rate_says_how_it_was_measured() -> None:
    found = peaks(side=64, copied_bytes=1 << 20, tries=3)
    rates = {key: getattr(found, key) for key in found.how}
    assert rates.keys() == {
        "float_macs_per_s",
        "int8_macs_per_s",
        "memory_bytes_per_s",
        "operator_start_s",
    }
    assert all(rate > 0 for rate in rates.values())
    assert "MatMul of float32: best of 3, two 64 x 64 matrices" in found.how["float_macs_per_s"]
    assert "copy of 1 MiB by NumPy in 32 parts" in found.how["memory_bytes_per_s"]
