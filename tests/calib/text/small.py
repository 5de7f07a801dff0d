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


def decoder(path: Path) -> None:
    """Writes a decoder of one layer, [batch, sequence] -> logits [batch, sequence, words], which gives its keys and
    values back behind those of the past; the mask is of both."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    sizes = {"table": (len(WORDS), WIDTH), "out": (WIDTH, len(WORDS))}
    sizes |= dict.fromkeys(("query", "key", "value"), (WIDTH, WIDTH))
    weights = {n: (rng.standard_normal(s) / 8).astype(np.float32) for n, s in sizes.items()}
    weights |= {"one": np.float32(1), "low": np.float32(-1e4), "root": np.float32(8)}
    tensors = [numpy_helper.from_array(np.asarray(w), n) for n, w in weights.items()]
    tensors.append(numpy_helper.from_array(np.array([1]), "axis_1"))
    kept = {name: f"present.0.{name}" for name in ("key", "value")}
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        *(helper.make_node("MatMul", ["words", n], [f"{n}s"]) for n in ("query", "key", "value")),
        *(
            helper.make_node("Concat", [f"past_key_values.0.{n}", f"{n}s"], [into], axis=1)
            for n, into in kept.items()
        ),
        helper.make_node("Transpose", [kept["key"]], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["querys", "turned"], ["products"]),
        helper.make_node("Div", ["products", "root"], ["scores"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "mask"], ["hidden"]),
        helper.make_node("Mul", ["hidden", "low"], ["lowered"]),
        helper.make_node("Unsqueeze", ["lowered", "axis_1"], ["bias"]),
        helper.make_node("Add", ["scores", "bias"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["shares"], axis=-1),
        helper.make_node("MatMul", ["shares", kept["value"]], ["context"]),
        helper.make_node("Add", ["context", "words"], ["sum"]),
        helper.make_node("MatMul", ["sum", "out"], ["logits"]),
    ]
    told = helper.make_tensor_value_info
    ids, past, total = (["batch", n] for n in ("sequence", "past_sequence", "total_sequence"))
    graph = helper.make_graph(
        nodes,
        "decoder",
        [
            told("input_ids", TensorProto.INT64, ids),
            told("attention_mask", TensorProto.INT64, total),
            *(
                told(f"past_key_values.0.{n}", TensorProto.FLOAT, [*past, WIDTH])
                for n in ("key", "value")
            ),
        ],
        [
            told("logits", TensorProto.FLOAT, [*ids, len(WORDS)]),
            *(told(into, TensorProto.FLOAT, [*total, WIDTH]) for into in kept.values()),
        ],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
