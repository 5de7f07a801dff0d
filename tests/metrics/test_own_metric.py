"""A metric of the user's own may end the program, while it is imported or called: that is one line too."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from squeeze import metrics
from squeeze.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys\nsys.exit(3)\n", "cannot be imported"),
        ("def score(outputs, labels):\n    raise SystemExit(3)\n", "failed: SystemExit: 3"),
    ],
)
def test_own_metric_that_ends_the_program_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    (tmp_path / "ending.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ending", raising=False)
    with pytest.raises(ConfigError, match=said) as e:
        metrics.score("ending:score", np.zeros((4, 2), np.float32), np.zeros(4, np.int64), None)
    assert "\n" not in str(e.value)
    sys.modules.pop("ending", None)
