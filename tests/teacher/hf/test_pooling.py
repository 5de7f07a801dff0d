"""What sentence-transformers puts behind an encoder, against its formulas in NumPy, in torch and as ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from safetensors.torch import save_file

from squeeze.calib.text.pooling import POOLINGS
from squeeze.errors import ConfigError
from squeeze.export import feed_to_ir
from squeeze.teacher.hf.pooling import Pooled
from squeeze.teacher.hf.sentence import Dense, Sentence

X = np.random.default_rng(0).standard_normal((3, 5, 4)).astype(np.float32)
# Padding behind a text, none, and in front of it.
MASK = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 1, 1]], np.float32)


def by_hand(name: str, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    texts = [tokens[counts > 0] for tokens, counts in zip(x, mask, strict=True)]
    each = {
        "cls": [tokens[0] for tokens in x],
        "lasttoken": [text[-1] for text in texts],
        "max": [text.max(0) for text in texts],
        "mean": [text.mean(0) for text in texts],
        "mean_sqrt_len": [text.sum(0) / np.sqrt(len(text)) for text in texts],
    }
    return np.stack(each[name])


def sentence(*poolings: str, after: tuple[Dense | None, ...] = ()) -> Sentence:
    return Sentence(Path(), poolings, after, ())


@pytest.mark.parametrize("name", POOLINGS)
def test_pooling_is_over_the_tokens_that_count(name: str) -> None:
    got = Pooled(sentence(name))(torch.from_numpy(X), torch.from_numpy(MASK))
    np.testing.assert_allclose(got.numpy(), by_hand(name, X, MASK), rtol=1e-5, atol=1e-6)


def test_several_poolings_are_joined_in_one_order_in_onnx_too() -> None:
    module = Pooled(sentence(*POOLINGS, after=(None,))).eval()
    feed = {"x": X, "mask": MASK}
    free = {name: {1: "tokens"} for name in feed}
    model = feed_to_ir(module, feed, output_names=["y"], free_axes=free)
    session = ort.InferenceSession(ir.serde.serialize_model(model).SerializeToString())
    for x, mask in ((X, MASK), (X[:, 1:4], MASK[:, 1:4])):
        joined = np.concatenate([by_hand(name, x, mask) for name in POOLINGS], axis=1)
        wanted = joined / np.linalg.norm(joined, axis=1, keepdims=True)
        (got,) = session.run(None, {"x": x, "mask": mask})
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_dense_of_other_sizes_than_its_weights_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"linear.weight": torch.ones(2, 4)}, file)
    dense = Dense(file, inputs=4, outputs=2, bias=False, activation="ReLU")
    got = Pooled(sentence("mean", after=(dense,)))(torch.from_numpy(X), torch.from_numpy(MASK))
    sums = np.maximum(by_hand("mean", X, MASK).sum(1), 0)
    np.testing.assert_allclose(got.detach().numpy(), np.stack([sums, sums], 1), atol=1e-5)
    with pytest.raises(ConfigError, match=r"has tensors .*\(2, 4\).*, config.json beside it wants"):
        Pooled(sentence("mean", after=(Dense(file, 4, 3, False, "ReLU"),)))
