"""Transformers at quantised weights: torch computes what the graph does, the file what was trained, training helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch

from squeeze import graph, teacher
from squeeze.calib import Calib, Preprocess, Split
from squeeze.feed import Padding
from squeeze.guides import cache_answers
from squeeze.progress import Progress
from squeeze.train.compute import Compute
from squeeze.train.quantised import QUANTISERS, ranges
from squeeze.train.quantised.door import Trained, network_of, to_float, to_qdq, trained
from squeeze.train.quantised.network import QuantNetwork
from squeeze.train.quantised.plan import plan
from squeeze.train.quantised.quantise import train_quantised
from squeeze.train.quantised.settings import Settings, Source
from tests.graph.small import Array
from tests.train import samples
from tests.train.quantised.nets import move
from tests.train.quantised.test_quantise import Killed, Stop
from tests.train.quantised.transformers import encoder, images, run, tensors, texts, vision

KINDS: dict[str, tuple[Callable[[], ir.Model], Callable[..., dict[str, Array]]]] = {
    "encoder": (encoder, texts),
    "vision": (vision, images),
}
PADDING = Padding("mask", ("ids", "mask"))


def forward(network: QuantNetwork, feed: Mapping[str, Array]) -> Array:
    with torch.no_grad():
        return network.eval()(tensors(feed)).numpy()


def quantised(network: QuantNetwork, feed: Mapping[str, Array], bits: int) -> None:
    """LSQ of 8 bits at both ends and `bits` between, activations on grids of 8."""
    layers = list(network.weighted)
    for layer in layers:
        width = 8 if layer in (layers[0], layers[-1]) else bits
        network.quantise_weights(layer, lambda w, b=width: QUANTISERS["lsq"](w, b))
    ranges.prepare(network, 0, 255)
    network.estimate_norms([tensors(feed)])
    ranges.calibrate(network, [tensors(feed)], 0, 255)


@pytest.mark.parametrize("kind", KINDS)
def test_network_computes_what_the_graph_does(kind: str) -> None:
    make, feeds = KINDS[kind]
    feed = feeds(24)
    network = network_of(make(), lambda: [tensors(feed)])
    np.testing.assert_allclose(forward(network, feed), run(make(), feed), atol=2e-5)


def test_a_network_of_tokens_takes_batches_of_any_length() -> None:
    network = network_of(encoder(), lambda: [tensors(texts(8))])
    few = texts(24)["mask"].sum(1) <= 8
    feed = PADDING.cut({name: x[few] for name, x in texts(24).items()})
    assert feed["ids"].shape[1] == 8
    np.testing.assert_allclose(forward(network, feed), run(encoder(), feed), atol=2e-5)


@pytest.mark.parametrize("products", [False, True])
@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_the_file_computes_what_was_trained(kind: str, bits: int, products: bool) -> None:
    make, feeds = KINDS[kind]
    feed = feeds(128)
    network = network_of(make(), lambda: [tensors(feed)], activation_products=products)
    quantised(network, feed, bits)
    move(network)
    expected = forward(network, feed)
    file = to_qdq(make(), trained(network), "uint8", activation_products=products)
    difference = np.abs(run(file, feed) - expected) / np.abs(expected).max()
    assert np.median(difference) < 1.5 / 255
    assert np.quantile(difference, 0.97) < 6 / 255
    assert np.abs(expected - run(make(), feed)).max() > 0.05
    (scores,) = (n for n in file.graph if n.outputs[0].name == "raw")
    makers = [value.producer() for value in scores.inputs if value is not None]
    in_int8 = [n is not None and n.op_type == "DequantizeLinear" for n in makers]
    assert in_int8 == [products, products]


@pytest.mark.parametrize("kind", KINDS)
def test_gains_shifts_and_added_biases_are_taken_over_into_float(kind: str) -> None:
    make, feeds = KINDS[kind]
    feed = feeds(32)
    network = network_of(make(), lambda: [tensors(feed)])
    learned = {output for output, _ in network.learned_floats()}
    assert {"h0", "n1", "h1", "q1", "k1", "v1", "o1", "u1", "d1"} <= learned
    assert not network.constants["c_positions"].requires_grad
    move(network)
    np.testing.assert_allclose(
        run(to_float(make(), network), feed), forward(network, feed), atol=2e-4
    )


def data_of_texts() -> Calib:
    """Without labels: what is judged is the angle between embeddings."""
    splits = [Split(texts(n, seed), None, f"{n}") for n, seed in ((256, 0), (64, 1), (64, 2))]
    plain = Preprocess.model_validate({"layout": "as-is", "dtype": "int64", "scale": 1.0})
    return Calib(
        "texts", "texts", "texts", *splits, {"ids": plain, "mask": plain}, "tokens", "cosine", None
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder, data, part = tmp_path_factory.mktemp("source"), data_of_texts(), samples.part()
    graph.save(encoder(), folder / "encoder.onnx")
    told = teacher.load(
        str(folder / "encoder.onnx"),
        weights=None,
        example={name: x[:3] for name, x in texts(3).items()},
        folder=folder / "teacher",
    )
    answers = folder / "answers"
    cache_answers(
        told, data, part, seed=0, threads=1, folder=answers, progress=Progress(), padding=PADDING
    )
    return Source(data, part, answers, 0, "none", PADDING)


def train(source: Source, steps: int, folder: Path, progress: Progress | None = None) -> Trained:
    """The encoder with two bits everywhere."""
    return train_quantised(
        encoder(),
        dict.fromkeys(plan(encoder()).weighted, 2),
        Settings(steps, 0.3, 32),
        source,
        compute=Compute.choose("cpu", "fp32"),
        threads=1,
        folder=folder,
        progress=progress or Progress(),
    )


def test_tokens_are_answered_once_without_padding_and_in_order(source: Source) -> None:
    assert [f.name for f in source.answers.glob("view_*.npy")] == ["view_00.npy"]
    stored = np.load(source.answers / "view_00.npy")
    np.testing.assert_allclose(
        stored, run(encoder(), source.calib.feed(source.calib.fit)), atol=1e-5
    )


def test_training_brings_an_encoder_of_two_bits_nearer_than_rounding(
    source: Source, tmp_path: Path
) -> None:
    feed = source.calib.feed(source.calib.evaluate)

    def cosine(steps: int) -> float:
        file = to_qdq(encoder(), train(source, steps, tmp_path / f"{steps}"), "uint8")
        return float((run(file, feed) * run(encoder(), feed)).sum(1).mean())

    assert cosine(120) > cosine(2) + 0.02


def test_killed_and_resumed_ends_with_the_same_bytes(source: Source, tmp_path: Path) -> None:
    whole = train(source, 12, tmp_path / "whole")
    with pytest.raises(Killed):
        train(source, 12, tmp_path / "killed", Stop(7))
    again = train(source, 12, tmp_path / "killed")
    assert again.grids == whole.grids
    for name, codes in whole.weights.items():
        np.testing.assert_array_equal(again.weights[name].integers, codes.integers)
    for place, learned in whole.floats.items():
        np.testing.assert_array_equal(again.floats[place], learned)
