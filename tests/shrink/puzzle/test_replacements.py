"""What stands in the place of a part: its shapes, and how near it comes to what the part does."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

from squeeze.errors import ConfigError
from squeeze.progress import Progress
from squeeze.prune import macs
from squeeze.shrink.puzzle.fit import Ends, ends_of, error_of, fit, samples_kept
from squeeze.shrink.puzzle.parts import Part, inside, joined, parts
from squeeze.shrink.puzzle.replacements import replacements
from squeeze.students import Network
from tests.prune import zoo
from tests.shrink.networks import images, whole


@cache
def placed(index: int) -> tuple[Network, Part, Ends]:
    """A part of the network: alone, where it is, and what goes in and out."""
    _, network = whole()
    part = parts(network, images(2))[index]
    return inside(network, part), part, ends_of(network, part, images(128).split(50))


def made(index: int, seed: int = 0) -> dict[str, Network]:
    own, part, ends = placed(index)
    return replacements(own, part, ends.x.float(), 8, seed)


def test_every_kind_makes_maps_of_the_same_shape_with_less_work() -> None:
    for index, kinds in (
        (0, {"half", "convolution", "separable", "pointwise", "none"}),
        (2, {"half", "quarter", "convolution", "separable", "pointwise"}),
    ):
        own, part, ends = placed(index)
        found, x = made(index), ends.x[:2].float()
        # Of 16 inner channels in eights a quarter cannot stay, and a map that halves cannot be left as it is.
        assert set(found) == kinds
        for kind, replacement in found.items():
            with torch.no_grad():
                assert replacement(x).shape == (2, *part.behind), kind
            assert macs(replacement, x) < 0.71 * macs(own, x), kind


def test_one_convolution_has_the_products_that_its_sizes_say() -> None:
    # 32 filters of 3x3 over 16 channels at 4x4 places; depthwise 16 of 3x3, and 32 over 16 channels.
    found, x = made(2), placed(2)[2].x[:2].float()
    assert macs(found["convolution"], x) == 32 * 9 * 16 * 16
    assert macs(found["separable"], x) == (16 * 9 + 32 * 16) * 16
    assert macs(found["pointwise"], x) == 32 * 16 * 16


def test_one_convolution_is_exact_when_the_part_is_linear() -> None:
    own, part, ends = placed(0)
    linear = Network(
        {
            **own.description(),
            "nodes": [
                {**node, "op": "Abs"} if node["outputs"][0] == "relu_1" else node
                for node in own.description()["nodes"]
            ],
        }
    )
    linear.load_state_dict(own.state_dict())
    with torch.no_grad():
        # The first layer makes nothing negative of what is positive: one tap of its own place for every channel.
        first, second = linear.layers.values()
        first.weight.zero_()
        first.bias.zero_()
        first.weight[:, :, 1, 1] = torch.eye(16)
        x = ends.x.float()
        wanted = linear(x)
    found = replacements(linear, part, x, 8, 0)["convolution"]
    # It is the second layer, plus the shortcut in the middle.
    eye = torch.zeros_like(second.weight)
    eye[:, :, 1, 1] = torch.eye(16)
    (layer,) = found.layers.values()
    assert error_of(found, Ends(x, wanted)) < 1e-3
    assert (layer.weight - second.weight - eye).square().mean() < 0.05 * eye.square().mean()


def test_replacements_have_the_same_weights_whatever_was_drawn_before() -> None:
    one, other = made(2), made(2)
    for kind, network in one.items():
        state = other[kind].state_dict()
        assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


def test_nothing_costs_nothing_and_gives_what_it_takes() -> None:
    nothing, x = made(0)["none"], images(2)
    assert not nothing.nodes
    assert nothing(x) is x


def test_replacement_comes_nearer_to_its_part_when_it_learns(tmp_path: Path) -> None:
    _, _, ends = placed(1)
    for kind in ("half", "separable"):
        replacement = made(1)[kind]
        before = error_of(replacement, ends)
        fit(
            replacement,
            ends,
            steps=60,
            lr=2e-3,
            seed=0,
            folder=tmp_path / kind,
            progress=Progress(),
        )
        assert error_of(replacement, ends) < 0.9 * before


def test_training_that_was_interrupted_ends_with_the_same_weights(tmp_path: Path) -> None:
    _, _, ends = placed(2)

    class Killed(Exception):
        pass

    class Impatient(Progress):
        def update(self, done: int, total: int, what: str = "") -> None:
            if done == 7:
                raise Killed

    def learned(folder: Path, progress: Progress) -> dict[str, torch.Tensor]:
        replacement = made(2)["separable"]
        fit(replacement, ends, steps=12, lr=2e-3, seed=1, folder=folder, progress=progress)
        return replacement.state_dict()

    wanted = learned(tmp_path / "whole", Progress())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("squeeze.shrink.puzzle.fit._CHECKPOINT_S", 0.0)
        with pytest.raises(Killed):
            learned(tmp_path / "cut", Impatient())
    assert list((tmp_path / "cut").iterdir())
    found = learned(tmp_path / "cut", Progress())
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_rate_is_named_when_the_loss_is_no_number(tmp_path: Path) -> None:
    _, _, ends = placed(0)
    with pytest.raises(ConfigError, match=r"puzzle\.lr: at 1e\+30"):
        fit(
            made(0)["half"],
            ends,
            steps=20,
            lr=1e30,
            seed=0,
            folder=tmp_path,
            progress=Progress(),
        )


def test_error_is_the_share_of_the_variance_that_is_missed() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(8, 4, 3, 3, generator=random)
    nothing = Network({"inputs": ["x"], "output": "x", "nodes": []})
    shifted = x + 0.5
    wanted = 0.25 / float(shifted.var(correction=0))
    assert error_of(nothing, Ends(x, shifted)) == pytest.approx(wanted, rel=1e-4)


def test_samples_are_fewer_when_maps_are_large() -> None:
    part = Part("a", "b", (), True, (64, 256, 256), (64, 256, 256))
    # Two bytes for each of 2 * 64 * 256 * 256 numbers, of 128 MiB.
    assert samples_kept(part, 1024) == 8
    assert samples_kept(placed(0)[1], 1024) == 1024


def test_largest_kernel_is_taken_when_the_first_and_the_last_are_pointwise() -> None:
    torch.manual_seed(0)
    module = zoo.Depthwise()
    zoo.with_statistics(module)
    x = images(16)
    network = zoo.imported(module.eval(), x).eval()
    (part,) = parts(network, x[:2])
    ends = ends_of(network, part, [x])
    found = replacements(inside(network, part), part, ends.x.float(), 8, 0)
    (layer,) = found["convolution"].layers.values()
    assert layer.kernel_size == (3, 3)
    # Behind the sum is no activation, so that nothing is left of the part.
    assert not found["none"].nodes
    with torch.no_grad():
        assert joined(network, {part: found["none"]})(x).shape == (16, 10)
