"""A small tokenizer of words and a small encoder. For tests that skip where `tokenizers` is not installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from squeeze.end import End

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *["a", "b", "c", "d", "e", "f", "g", "h"], "##x"]
ID = {word: i for i, word in enumerate(WORDS)}
PAD, UNK, CLS, SEP = range(4)
WIDTH = 64


def tokenizer_json() -> str:
    """WordPiece over single letters, with BERT's special tokens: "a b" is [CLS] a b [SEP], "ax" is a ##x."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(models.WordPiece(ID, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    return str(made.to_str())


def ends(
    *names: str, length: int | str = "sequence", output: str = "embedding", width: int = 64
) -> tuple[tuple[End, ...], tuple[End, ...]]:
    """Of a model [batch, length] -> [batch, width]."""
    return (
        tuple(End(name, "int64", ("batch", length)) for name in names),
        (End(output, "float32", ("batch", width)),),
    )


def loading(ends_: tuple[tuple[End, ...], tuple[End, ...]]) -> dict[str, Any]:
    """The arguments of `calib.load` for a model with these ends."""
    return {"ends": ends_, "inputs": [end.name for end in ends_[0]]}


def encoder(path: Path, *, classes: int = 0) -> None:
    """Writes a model of ids and mask, batch and length free: the mean of the words' embeddings after two layers; with
    classes a tagger, whose logits are of each word."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    sizes = {
        "table": (len(WORDS), WIDTH),
        "up": (WIDTH, 4 * WIDTH),
        "down": (4 * WIDTH, classes or WIDTH),
    }
    weights = {
        n: (rng.standard_normal(s) / np.sqrt(s[0] if n != "table" else 1)).astype(np.float32)
        for n, s in sizes.items()
    }
    tensors = [numpy_helper.from_array(w, n) for n, w in weights.items()]
    axes = (2,) if classes else (1, 2)
    tensors += [numpy_helper.from_array(np.array([axis]), f"axis_{axis}") for axis in axes]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("MatMul", ["words", "up"], ["wide"]),
        helper.make_node("Relu", ["wide"], ["rectified"]),
        helper.make_node("MatMul", ["rectified", "down"], ["each"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "axis_2"], ["column"]),
        helper.make_node("Mul", ["each", "column"], ["logits" if classes else "kept"]),
    ]
    mean = [
        helper.make_node("ReduceSum", ["kept", "axis_1"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["column", "axis_1"], ["count"], keepdims=0),
        helper.make_node("Div", ["total", "count"], ["embedding"]),
    ]
    free = ["batch", "sequence"]
    output = ("logits", [*free, classes]) if classes else ("embedding", ["batch", WIDTH])
    graph = helper.make_graph(
        nodes if classes else nodes + mean,
        "encoder",
        [
            helper.make_tensor_value_info(n, TensorProto.INT64, free)
            for n in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, output[1])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
