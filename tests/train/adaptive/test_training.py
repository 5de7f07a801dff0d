"""A small encoder becomes adaptive: learners get nearer, the share of operations is kept, a kill changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from squeeze.losses import LOSSES
from squeeze.progress import Progress
from squeeze.spec import AdaptivePart
from squeeze.train.adaptive.conversion import Conversion
from squeeze.train.adaptive.train import train_adaptive, train_learners
from squeeze.train.compute import Compute
from squeeze.train.supernet.objective import Objective
from squeeze.train.supernet.samples import Samples
from tests.students.test_encoder import PARAMS, random_encoder
from tests.train.supernet.test_training import data

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

PART = AdaptivePart(
    compute=0.4, learners=4, module_steps=40, gate_steps=20, steps=12, batch_size=8, lr=1e-3
)


def conversion(
    folder: Path, part: AdaptivePart = PART, progress: Progress | None = None
) -> Conversion:
    calib, teacher = data(), random_encoder(PARAMS)
    return Conversion(
        teacher,
        Samples(calib, calib.fit, PARAMS),
        Samples(calib, calib.calibrate, PARAMS),
        Objective(LOSSES["cosine"]()),
        part,
        identity="a test",
        seed=0,
        threads=1,
        compute=Compute("cpu", torch.float32, torch.float32),
        folder=folder,
        progress=progress or Progress(),
        checkpoint_s=0,
    )


class Killed(Exception):
    """What ends a training in the middle."""


class Stops(Progress):
    """Kills the training at the number of times that it was told of."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def update(self, done: int, total: int, note: str = "") -> None:
        self.left -= 1
        if not self.left:
            raise Killed


def weights(folder: Path, progress: Progress | None = None) -> dict[str, Tensor]:
    """Of phases of 8, 6, 4 and 4 steps."""
    few = PART.model_copy(update={"module_steps": 8, "gate_steps": 6, "steps": 8})
    given = conversion(folder, few, progress)
    made, _ = train_adaptive(given, train_learners(given)[0])
    return made.state_dict()


def test_every_prefix_gets_nearer(tmp_path: Path) -> None:
    _, before = train_learners(conversion(tmp_path, PART.model_copy(update={"module_steps": 0})))
    cut, after = train_learners(conversion(tmp_path))
    for old, new in zip(before, after, strict=True):
        assert all(a < b for a, b in zip(new[:3], old[:3], strict=True))
        assert new[3] < 0.1 * new[0]
    with torch.no_grad():
        ids = torch.ones(1, 4, dtype=torch.int64)
        assert torch.isfinite(cut(ids, ids)).all()
    assert not any(tmp_path.rglob("checkpoint*"))


@pytest.mark.parametrize("compute", [0.25, 0.75])
def test_share_of_operations_is_what_was_asked_for(compute: float, tmp_path: Path) -> None:
    part = PART.model_copy(update={"compute": compute, "module_steps": 5})
    given = conversion(tmp_path, part)
    made, history = train_adaptive(given, train_learners(given)[0])
    shares = [c / 64 for row in made.params.capacities for c in row]
    # Rounded up by a 64th at most.
    assert sum(shares) / len(shares) == pytest.approx(compute, abs=2 / 64)
    steps = [entry["step"] for entry in history]
    assert steps == sorted(set(steps))
    assert steps[-1] == part.steps


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """Of a training that nothing stopped."""
    return weights(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("after", [5, 13, 17, 21])
def test_what_was_killed_ends_with_the_same_weights(
    after: int, wanted: dict[str, Tensor], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        weights(tmp_path / "cut", Stops(after))
    found = weights(tmp_path / "cut")
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_order_of_tokens_stays_while_capacities_are_learned(tmp_path: Path) -> None:
    given = conversion(tmp_path)
    cut, _ = train_learners(replace(given, part=PART.model_copy(update={"module_steps": 2})))
    part = PART.model_copy(update={"steps": 1})  # the only one at fixed capacities
    made, _ = train_adaptive(replace(given, part=part), cut)
    plain = PART.model_copy(update={"steps": 0})
    before, _ = train_adaptive(replace(given, part=plain), cut)
    old, new = before.state_dict(), made.state_dict()
    moved = {name for name, value in new.items() if not torch.equal(old[name], value)}
    assert moved
    assert not any(".gate." in name or "word." in name for name in moved)
