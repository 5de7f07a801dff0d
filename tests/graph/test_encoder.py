"""Encoders that others exported are read back as squeeze's own, and compute what ONNX Runtime says of the file."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch

from squeeze import teacher as teachers
from squeeze.export.quiet import quiet
from squeeze.graph.encoder import read_encoder
from squeeze.graph.qdq import Refused
from squeeze.students.encoder import Encoder, Params
from tests.teacher.hf.folders import SMALL, VOCABULARY, add_sentence, save

pytest.importorskip("transformers", reason="transformers: pip install squeeze[hf]")

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.feed import Feed

BERT = {**SMALL, "type_vocab_size": 2}


def tokens(samples: int, length: int, *, types: bool) -> Feed:
    random = np.random.default_rng(length)
    ids = random.integers(1, VOCABULARY, (samples, length))
    mask = np.arange(length) < random.integers(1, length + 1, (samples, 1))
    feed = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
    if types:
        half = np.broadcast_to(np.arange(length) >= length // 2, ids.shape)
        feed["token_type_ids"] = half.astype(np.int64)
    return feed


def read(model: Path) -> tuple[Encoder, dict[str, Any]]:
    params, weights = read_encoder(ir.load(model))
    encoder = Encoder(Params.model_validate(params))
    encoder.load_state_dict({name: torch.from_numpy(x) for name, x in weights.items()})
    return encoder.eval(), params


def check(model: Path, *, types: bool, counted_only: bool = False) -> dict[str, Any]:
    """Reads the file and compares it with ONNX Runtime in several sizes."""
    encoder, params = read(model)
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    for samples, length in ((3, 11), (1, 5), (4, 23)):
        feed = tokens(samples, length, types=types)
        given = [torch.from_numpy(feed[name]) for name in params["inputs"]]
        with torch.no_grad():
            got = encoder(*given).numpy()
        wanted = np.asarray(session.run(None, dict(feed))[0])
        if counted_only:
            got, wanted = (x * feed["attention_mask"][:, :, None] for x in (got, wanted))
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    return params


def exported(network: torch.nn.Module, feed: Feed, path: Path, *, opset: int = 17) -> Path:
    """What the older exporter of torch writes of `network`, as a teacher."""
    free = {name: {0: "batch", 1: "sequence"} for name in feed}
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            tuple(torch.from_numpy(x) for x in feed.values()),
            path / "net.onnx",
            dynamo=False,
            input_names=[*feed],
            output_names=["out"],
            dynamic_axes=free,
            opset_version=opset,
        )
    (path / "out").mkdir()
    made = str(path / "net.onnx")
    return teachers.load(made, weights=None, example=feed, folder=path / "out").model


class Wrapped(torch.nn.Module):
    """A network of transformers by position; what it gives, or the mean of its states."""

    def __init__(self, network: Any, output: str, names: list[str]) -> None:
        super().__init__()
        network.set_attn_implementation("eager")
        self.network, self.output, self.names = network, output, names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        given = dict(zip(self.names, tensors, strict=True))
        if self.output != "mean":
            found: torch.Tensor = self.network(**given)[self.output]
            return found
        states = self.network(**given)["last_hidden_state"]
        counted = given["attention_mask"].to(states.dtype)[:, :, None]
        return torch.as_tensor((states * counted).sum(1) / counted.sum(1))


def loaded(folder: Path, out: Path, *, types: bool) -> Path:
    out.mkdir()
    example = tokens(4, 9, types=types)
    return teachers.load(str(folder), weights=None, example=example, folder=out).model


def test_sentence_encoder_is_read(tmp_path: Path) -> None:
    save(tmp_path / "net", "Bert", "Model", BERT)
    add_sentence(tmp_path / "net", {"pooling_mode_mean_tokens": True}, "Normalize")
    params = check(loaded(tmp_path / "net", tmp_path / "out", types=False), types=False)
    assert (params["pooling"], params["normalise"], params["tail"]) == ("mean", True, [])
    sizes = [params[name] for name in ("layers", "heads", "head_size", "ffn", "activation")]
    assert sizes == [2, 2, 8, 24, "gelu"]


def test_classifier_of_pairs_is_read(tmp_path: Path) -> None:
    settings = {**BERT, "hidden_act": "gelu_new", "num_labels": 3}
    network = save(tmp_path / "net", "Bert", "ForSequenceClassification", settings)
    feed = tokens(3, 9, types=True)
    params = check(exported(Wrapped(network, "logits", [*feed]), feed, tmp_path), types=True)
    assert (params["pooling"], params["normalise"], params["types"]) == (
        "first",
        False,
        "token_type_ids",
    )
    assert params["tail"] == [
        {"outputs": 16, "activation": "tanh"},
        {"outputs": 3, "activation": "none"},
    ]
    assert params["activation"] == "gelu-tanh"


def test_tagger_whose_queries_are_scaled_is_read(tmp_path: Path) -> None:
    settings = {
        "vocab_size": VOCABULARY,
        "dim": 16,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 40,
        "max_position_embeddings": 40,
        "initializer_range": 0.4,
        "activation": "relu",
        "num_labels": 5,
    }
    network = save(tmp_path / "net", "DistilBert", "ForTokenClassification", settings)
    feed = tokens(3, 9, types=False)
    model = exported(Wrapped(network, "logits", [*feed]), feed, tmp_path)
    params = check(model, types=False, counted_only=True)
    assert (params["pooling"], params["activation"]) == ("none", "relu")
    assert params["tail"] == [{"outputs": 5, "activation": "none"}]


def test_file_of_an_old_opset_is_read(tmp_path: Path) -> None:
    """Constant nodes, and normalisation as eight nodes."""
    network = save(tmp_path / "net", "Bert", "Model", BERT)
    feed = tokens(3, 9, types=False)
    model = exported(Wrapped(network, "mean", [*feed]), feed, tmp_path, opset=14)
    params = check(model, types=False)
    assert (params["layers"], params["pooling"], params["mask"]) == (2, "mean", "attention_mask")


@pytest.mark.parametrize(
    ("kind", "attention"), [("Roberta", "eager"), ("XLMRoberta", "sdpa"), ("MPNet", "eager")]
)
def test_positions_that_follow_from_the_padding_are_read(
    kind: str, attention: str, tmp_path: Path
) -> None:
    settings = {**SMALL, "pad_token_id": 1}
    if kind != "MPNet":
        settings["type_vocab_size"] = 1
    network = save(tmp_path / "net", kind, "Model", settings, attention)
    feed = tokens(3, 9, types=False)
    wrapped = Wrapped(network, "mean", [*feed])
    network.set_attn_implementation(attention)
    params = check(exported(wrapped, feed, tmp_path), types=False)
    assert (params["pad"], params["positions"]) == (1, SMALL["max_position_embeddings"] - 1)
    assert ("distances" in params) == (kind == "MPNet")


@pytest.mark.parametrize(("kind", "attention"), [("Electra", "eager"), ("Albert", "sdpa")])
def test_narrow_embeddings_are_read(kind: str, attention: str, tmp_path: Path) -> None:
    network = save(tmp_path / "net", kind, "Model", {**BERT, "embedding_size": 8}, attention)
    feed = tokens(3, 9, types=True)
    wrapped = Wrapped(network, "mean", [*feed])
    network.set_attn_implementation(attention)
    params = check(exported(wrapped, feed, tmp_path), types=True)
    assert (params["embedding"], params["hidden"], params["segments"]) == (8, 16, 2)


def test_folder_with_positions_that_follow_from_the_padding_is_read(tmp_path: Path) -> None:
    settings = {**SMALL, "pad_token_id": 1}
    save(tmp_path / "net", "MPNet", "Model", settings, "eager")
    add_sentence(tmp_path / "net", {"pooling_mode_mean_tokens": True}, "Normalize")
    params = check(loaded(tmp_path / "net", tmp_path / "out", types=False), types=False)
    assert (params["pad"], params["normalise"], len(params["distances"])) == (1, True, 15)


def test_layers_may_differ_in_their_channels(tmp_path: Path) -> None:
    network = save(tmp_path / "net", "Bert", "Model", BERT)
    layer = network.encoder.layer[1]
    layer.intermediate.dense = torch.nn.Linear(16, 32)
    layer.output.dense = torch.nn.Linear(32, 16)
    feed = tokens(3, 9, types=False)
    model = exported(Wrapped(network, "mean", [*feed]), feed, tmp_path)
    params = check(model, types=False)
    assert [width["ffn"] for width in params["each"]] == [BERT["intermediate_size"], 32]
    assert params["ffn"] == max(32, BERT["intermediate_size"])


def test_what_is_no_such_encoder_says_why() -> None:
    x = ir.Value(name="x", shape=ir.Shape([1, 4]), type=ir.TensorType(ir.DataType.FLOAT))
    node = ir.node("Relu", [x])
    node.outputs[0].name = "y"
    graph = ir.Graph([x], node.outputs, nodes=[node], opset_imports={"": 18})
    with pytest.raises(Refused, match="no layer normalisation"):
        read_encoder(ir.Model(graph, ir_version=9))
