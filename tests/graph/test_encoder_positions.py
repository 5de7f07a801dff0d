"""Encoders whose positions are counted from padding, or relative, are read back and compute what ONNX Runtime says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.graph.encoder import read_encoder
from squeeze.graph.qdq import Refused
from squeeze.students.encoder import Encoder, Params
from tests.graph.test_encoder import exported

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.feed import Feed

VOCABULARY, POSITIONS, HIDDEN, HEADS, FFN, PAD = 60, 150, 16, 2, 24, 1


class Written(nn.Module):
    """An encoder as others write it, by hand: two layers, the mean of the tokens. relative: with a bias as MPNet has
    it. own: each layer with a bias of its own."""

    def __init__(self, *, relative: bool = False, own: bool = False, pad: int = PAD) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pad = pad
        self.words = nn.Embedding(VOCABULARY, HIDDEN)
        self.places = nn.Embedding(POSITIONS, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN)
        self.biases = nn.ModuleList(
            nn.Embedding(32, HEADS) for _ in range(2 if own else int(relative))
        )
        sizes = [(HIDDEN, HIDDEN)] * 4 + [(HIDDEN, FFN), (FFN, HIDDEN)]
        self.layers = nn.ModuleList(
            nn.ModuleList([nn.Linear(a, b) for a, b in sizes] + [nn.LayerNorm(HIDDEN)] * 2)
            for _ in range(2)
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        there = input_ids.ne(self.pad).int()
        places = (torch.cumsum(there, dim=1).type_as(there) * there).long() + self.pad
        x = self.norm(self.words(input_ids) + self.places(places))
        masked = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * -1e9
        biases = [bias(kinds(x)).permute(2, 0, 1)[None] for bias in self.biases]
        for i, layer in enumerate(self.layers):
            query, key, value, out, up, down, norm1, norm2 = layer
            q, k, v = (
                part(x).view(*x.shape[:2], HEADS, -1).transpose(1, 2)
                for part in (query, key, value)
            )
            scores = q @ k.transpose(-1, -2) / math.sqrt(HIDDEN // HEADS)
            if biases:
                scores = scores + biases[i % len(biases)]
            seen = (scores + masked).softmax(-1) @ v
            x = norm1(out(seen.transpose(1, 2).reshape(x.shape)) + x)
            x = norm2(down(functional.gelu(up(x))) + x)
        counted = attention_mask[:, :, None].to(x.dtype)
        return torch.as_tensor((x * counted).sum(1) / counted.sum(1))


def kinds(x: Tensor) -> Tensor:
    """Of each pair of tokens the kind of its distance (Raffel et al., 2020): 32 in both directions, up to 128."""
    place = torch.arange(x.shape[1])
    away = place[:, None] - place[None, :]
    side = (away < 0).long() * 16
    away = away.abs()
    far = 8 + (torch.log(away.float() / 8) / math.log(128 / 8) * 8).long()
    return side + torch.where(away < 8, away, torch.min(far, torch.full_like(far, 15)))


def texts(samples: int, length: int) -> Feed:
    """Padding has an id of its own, and the mask says where it is."""
    random = np.random.default_rng(length)
    mask = np.arange(length) < random.integers(1, length + 1, (samples, 1))
    ids = np.where(mask, random.integers(2, VOCABULARY, mask.shape), PAD)
    return {"input_ids": ids, "attention_mask": mask.astype(np.int64)}


def read(model: Path) -> tuple[Encoder, dict[str, Any]]:
    params, weights = read_encoder(ir.load(model))
    encoder = Encoder(Params.model_validate(params))
    encoder.load_state_dict({name: torch.from_numpy(x) for name, x in weights.items()})
    return encoder.eval(), params


def check(model: Path, *lengths: int) -> dict[str, Any]:
    """Reads the file and compares it with ONNX Runtime for texts of some lengths."""
    encoder, params = read(model)
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    for length in lengths:
        feed = texts(3, length)
        with torch.no_grad():
            got = encoder(*(torch.from_numpy(feed[name]) for name in params["inputs"])).numpy()
        (wanted,) = session.run(None, dict(feed))
        np.testing.assert_allclose(got, np.asarray(wanted), rtol=1e-4, atol=1e-4)
    return params


def test_positions_counted_from_padding_are_read(tmp_path: Path) -> None:
    params = check(exported(Written(), texts(3, 9), tmp_path), 1, 11, 90)
    # The row of padding is the first that any token has.
    assert (params["pad"], params["positions"]) == (PAD, POSITIONS - PAD)
    assert "distances" not in params


def test_padding_changes_nothing_for_what_counts(tmp_path: Path) -> None:
    encoder, _ = read(exported(Written(relative=True), texts(3, 9), tmp_path))
    feed = texts(4, 12)
    for row, mask in zip(feed["input_ids"], feed["attention_mask"], strict=True):
        length = int(mask.sum())
        whole, alone = (
            encoder(*(torch.from_numpy(x[None, :stop]) for x in (row, mask)))
            for stop in (len(row), length)
        )
        torch.testing.assert_close(whole, alone, atol=1e-5, rtol=1e-5)


def test_bias_of_relative_positions_is_read(tmp_path: Path) -> None:
    # 148 tokens: farther apart than the widest kind begins.
    params = check(exported(Written(relative=True), texts(3, 9), tmp_path), 1, 20, 148)
    assert params["distances"] == (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91)


@pytest.mark.parametrize("folded", [False, True])
def test_bias_of_texts_of_one_length_is_read(folded: bool, tmp_path: Path) -> None:
    """What depends on the length alone is a constant there: the rows of the table, or all of it."""
    length = 40
    model = ir.load(exported(Written(relative=True), texts(3, length), tmp_path))
    network = Written(relative=True)
    rows = kinds(torch.zeros(1, length)).numpy()
    bias = network.biases[0].weight.detach().numpy()[rows].transpose(2, 0, 1)[None]
    (gather,) = [n for n in model.graph if n.op_type == "Gather" and _is_table(n.inputs[0])]
    if folded:
        (moved,) = gather.outputs[0].uses()
        (whole,) = moved.node.outputs[0].uses()
        whole.node.outputs[0].replace_all_uses_with(_constant(model, "bias", bias))
    else:
        gather.replace_input_with(1, _constant(model, "rows", rows))
    path = tmp_path / "fixed.onnx"
    ir.save(model, path)
    assert len(check(path, length)["distances"]) == 15


def test_biases_of_each_layer_are_refused(tmp_path: Path) -> None:
    model = exported(Written(own=True), texts(3, 9), tmp_path)
    with pytest.raises(Refused, match="biases of their own"):
        read_encoder(ir.load(model))


def _is_table(value: ir.Value | None) -> bool:
    return value is not None and value.shape is not None and list(value.shape) == [32, HEADS]


def _constant(model: ir.Model, name: str, array: np.ndarray) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(array))
    model.graph.register_initializer(value)
    return value
