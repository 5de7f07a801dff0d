"""A metric of the user's own may end the program, while it is imported or called: that is one line too."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from squeeze import metrics
from squeeze.errors import ConfigError
from squeeze.interface import Interface, TensorSpec


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


def test_own_metric_is_found_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lying_here.py").write_text("def half(outputs, labels):\n    return 0.5\n")
    monkeypatch.chdir(tmp_path)
    # As an installed command has it: the current folder is not on the path.
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    before = list(sys.path)
    found = metrics.score("lying_here:half", np.zeros((4, 2), np.float32), np.zeros(4, np.int64))
    assert found == 0.5
    assert sys.path == before
    sys.modules.pop("lying_here", None)


OWN = '''
import numpy as np

def plain(outputs, labels): return float((outputs[:, 0] - labels).mean())

def wants(outputs, labels, inputs=None, groups=None):
    """The worst group's mean of what the input adds to the output."""
    seen = outputs[:, 0] + inputs["x"][:, 0]
    return max(float(seen[groups == g].mean()) for g in np.unique(groups))

wants.unit = "dB"
wants.higher_is_better = False

def whole(all_outputs, labels): return float((all_outputs["a"] + all_outputs["b"]).mean())

class Callable:
    def __call__(self, outputs, labels, groups): return float(len(np.unique(groups)))

called = Callable()

def one(outputs): return 1.0
def more(outputs, labels, weights): return 1.0
def strange(outputs, labels): return 1.0
strange.unit = 3
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_asking.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_asking"
    sys.modules.pop("own_asking", None)


OUTPUTS = np.array([[1.0], [2.0], [3.0], [4.0]])
BESIDE = metrics.Beside(
    lambda: {"x": np.array([[10.0], [20.0], [30.0], [40.0]])}, np.array([0, 0, 1, 1])
)


def of(name: str, beside: metrics.Beside | None = BESIDE) -> metrics.Score:
    reading = metrics.Reading("y", name)
    return metrics.scores([reading], {"y": OUTPUTS}, np.zeros(4), None, beside)[0]


def test_own_metric_gets_the_inputs_and_groups_that_it_names(module: str) -> None:
    assert of(f"{module}:plain").value == 2.5
    # Sums 11, 22, 33, 44: group 0 has a mean of 16.5, group 1 of 38.5.
    assert of(f"{module}:wants").value == 38.5
    assert of(f"{module}:called").value == 2
    reading = metrics.Reading("y", f"{module}:wants")
    low, high = metrics.interval(reading, {"y": OUTPUTS}, np.zeros(4), None, BESIDE) or (0, 0)
    # What is drawn together stays together: every mean is one of sums of 11 to 44.
    assert 11 <= low < 38.5 <= high == 44


def test_own_metric_says_its_unit_and_its_direction(module: str) -> None:
    metric = metrics.resolve(f"{module}:wants")
    assert metric.describe(38.5) == "38.50 dB wants"
    assert metric.drop(1.0, 3.0) == 2
    assert metrics.resolve(f"{module}:plain").drop(1.0, 3.0) == -2


def test_own_metric_of_all_outputs_gets_them_by_name(module: str) -> None:
    interface = Interface(
        (TensorSpec("x", "float32", (3,)),),
        (TensorSpec("a", "float64", (1,)), TensorSpec("b", "float64", (1,))),
    )
    outputs, labels = {"a": OUTPUTS, "b": 2 * OUTPUTS}, np.zeros((4, 7))
    wanted = metrics.readings(interface, labels, outputs, f"{module}:whole")
    assert wanted == (metrics.Reading("a", f"{module}:whole", ("b",)),)
    assert metrics.scores(wanted, outputs, labels, None)[0].value == 7.5
    low, high = metrics.interval(wanted[0], outputs, labels, None) or (0, 0)
    assert 3 <= low < 7.5 < high <= 12


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("one", r"takes \(outputs\), allowed: \(outputs, labels\), then inputs and groups"),
        ("more", r"takes \(outputs, labels, weights\), allowed"),
        ("strange", r"got unit 3 and higher_is_better True, allowed: text, and True or False"),
    ],
)
def test_own_metric_that_asks_for_something_else_is_refused(
    module: str, function: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as e:
        metrics.resolve(f"{module}:{function}")
    assert "\n" not in str(e.value)
