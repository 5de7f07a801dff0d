from __future__ import annotations

import logging
import re

import pytest

from squeeze.build_date import build_date


def test_date_is_that_of_the_variable_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    assert build_date() == "2001-09-09"


@pytest.mark.parametrize("given", ["yesterday", "1e9", "9" * 30])
def test_date_is_todays_where_the_variable_is_no_time(
    given: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", given)
    with caplog.at_level(logging.WARNING):
        found = build_date()
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", found)
    assert f"SOURCE_DATE_EPOCH: got '{given}', allowed: whole seconds since 1970" in caplog.text
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert build_date() >= found > "2025"
