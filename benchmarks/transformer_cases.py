"""What `transformers` measures: networks, the samples to calibrate with, how a file of them is judged, what is timed.

minilm   all-MiniLM-L6-v2: Spearman of the cosines of pairs, STS benchmark (test), at 32, 64, 128, 256 tokens
trec     the same with a head that was trained on its embeddings: top-1 of the classes of questions (TREC-6, test)
deit-a, deit-b   the shape of DeiT-tiny with random weights, 224 and 160 pixels: 100 less the error of the outputs
         in percent of their deviation
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.cases import data
from benchmarks.sentence_encoder import embeddings, export, padded, sentences

SEED, SAMPLES, LENGTH, AT_ONCE = 0, 512, 64, 16
TOKENS = (32, 64, 128, 256)
LAYERS, WIDTH = 6, 384  # of MiniLM
HEAD_STEPS = 400
IMAGES = 64

Array = NDArray[np.generic]
Feed = Mapping[str, Array]
Run = Callable[[Feed], Array]
Ids = list[NDArray[np.int64]]


@dataclass(frozen=True)
class Case:
    """calibrate: arrays by input, [n, ...]. score: how good the outputs of a file are, in points, given those of the
    float file. timed: what is run -> the feed. macs: of that run, None where they are not told. close: files that lose
    fewer points than this are compared with in speed."""

    model: Path
    model_type: str
    calibrate: dict[str, Array]
    outputs: Callable[[Run], list[Array]]
    score: Callable[[list[Array], list[Array]], float]
    timed: Mapping[str, Feed]
    macs: Mapping[str, int]
    close: float = 1.0


def minilm(folder: Path) -> Case:
    """See above."""
    export(folder / "minilm.onnx")
    scores = np.load(data("text/stsb_en_tokens.npz"))["test_score"]
    sides = [sentences("test", side) for side in "ab"]

    def score(found: list[Array], exact: list[Array]) -> float:
        return float(100 * spearmanr((found[0] * found[1]).sum(axis=1), scores).statistic)

    return Case(
        folder / "minilm.onnx",
        "bert",
        _chosen(sentences("train", "a")),
        lambda run: [embeddings(run, side) for side in sides],
        score,
        {str(n): _tokens(n) for n in TOKENS},
        {str(n): _macs(n) for n in TOKENS},
    )


def trec(folder: Path) -> Case:
    """See above; a file that is there already is taken."""
    if not (folder / "trec.onnx").exists():
        _with_head(folder)
    x, _ = questions("train")
    test, wanted = questions("test")

    def score(found: list[Array], exact: list[Array]) -> float:
        return float(100 * (found[0].argmax(axis=1) == wanted).mean())

    return Case(
        folder / "trec.onnx",
        "bert",
        _chosen(x),
        lambda run: [embeddings(run, test)],
        score,
        {"32": _tokens(32)},
        {"32": _macs(32)},
    )


def _with_head(folder: Path) -> None:
    """Writes the encoder with a head; its gradient descent is on all embeddings at once."""
    import onnx
    import onnxruntime as ort
    import torch
    from onnx import helper, numpy_helper

    export(folder / "encoder.onnx")
    session = ort.InferenceSession(folder / "encoder.onnx", providers=["CPUExecutionProvider"])
    x, y = questions("train")
    known = torch.from_numpy(embeddings(lambda feed: session.run(None, dict(feed))[0], x))
    torch.manual_seed(SEED)
    head = torch.nn.Linear(WIDTH, int(y.max()) + 1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.05, weight_decay=0.01)
    for _ in range(HEAD_STEPS):
        loss = torch.nn.functional.cross_entropy(10 * head(known), torch.from_numpy(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model = onnx.load(folder / "encoder.onnx")
    for name, value in (("head_w", 10 * head.weight), ("head_b", 10 * head.bias)):
        model.graph.initializer.append(numpy_helper.from_array(value.detach().numpy(), name))
    embedding = model.graph.output[0].name
    model.graph.node.append(
        helper.make_node("Gemm", [embedding, "head_w", "head_b"], ["logits"], transB=1)
    )
    del model.graph.output[:]
    shape = ["batch", len(head.bias)]
    model.graph.output.append(
        helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, shape)
    )
    onnx.save(model, folder / "trec.onnx")


def deit(folder: Path, pixels: int, seed: int) -> Case:
    """See above."""
    import onnx
    import torch
    from transformers import DeiTConfig, DeiTForImageClassification

    torch.manual_seed(seed)
    config = DeiTConfig(
        image_size=pixels,
        hidden_size=192,
        num_attention_heads=3,
        intermediate_size=768,
        num_labels=1000,
        initializer_range=0.08,  # 0.02 is where training starts: attention is next to even
    )
    net = DeiTForImageClassification(config).eval()
    path = folder / f"deit{pixels}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Logits(net),
            (torch.zeros(2, 3, pixels, pixels),),
            dynamo=True,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["pixel_values"],
            output_names=["logits"],
            opset_version=18,
        )
    assert program is not None
    program.save(path)
    # The exporter's notes of shapes contradict its weights, which the runtime's quantisers mind.
    model = onnx.load(path)
    del model.graph.value_info[:]
    onnx.save(model, path)
    images = _images(IMAGES + SAMPLES // 4, pixels, seed)
    judged, calibrate = images[:IMAGES], images[IMAGES:]

    def score(found: list[Array], exact: list[Array]) -> float:
        spread = (exact[0] - exact[0].mean(axis=0)).std()
        return float(100 - 100 * np.sqrt(np.mean((found[0] - exact[0]) ** 2)) / spread)

    def outputs(run: Run) -> list[Array]:
        chunks = [judged[i : i + AT_ONCE] for i in range(0, IMAGES, AT_ONCE)]
        return [np.concatenate([np.array(run({"pixel_values": x})) for x in chunks])]

    return Case(
        path,
        "vit",
        {"pixel_values": calibrate},
        outputs,
        score,
        {str(pixels): {"pixel_values": judged[:1]}},
        {},
        close=10.0,  # an error of 7 % is what int8 of random weights has at best
    )


CASES: dict[str, Callable[[Path], Case]] = {
    "minilm": minilm,
    "trec": trec,
    "deit-a": lambda folder: deit(folder, 224, 0),
    "deit-b": lambda folder: deit(folder, 160, 1),
}


def _Logits(net: object) -> object:  # noqa: N802 (a module, made where torch is there)
    import torch

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.net(pixel_values).logits  # type: ignore[operator]
            return found

    return Logits()


def _images(count: int, pixels: int, seed: int) -> NDArray[np.float32]:
    """Smooth random pictures [count, 3, pixels, pixels] of deviation 1: noise on grids of 4 to 32 cells, added up."""
    rng = np.random.default_rng(seed)
    found = np.zeros((count, 3, pixels, pixels))
    for cells in (4, 8, 16, 32):
        coarse = rng.normal(size=(count, 3, cells, cells))
        at = np.arange(pixels) * cells // pixels
        found += coarse[:, :, at][:, :, :, at]
    return (found / 2).astype(np.float32)


def questions(split: str) -> tuple[Ids, NDArray[np.int64]]:
    found = np.load(data("text/trec_tokens.npz"))
    tokens, starts = found[split], found[f"{split}_off"]
    return [tokens[a:b].astype(np.int64) for a, b in pairwise(starts)], found[f"{split}_y"].astype(
        np.int64
    )


def _chosen(rows: Ids) -> dict[str, Array]:
    chosen = np.random.default_rng(SEED).permutation(len(rows))[:SAMPLES]
    return dict(padded([rows[i] for i in chosen], LENGTH))


def _tokens(count: int) -> Feed:
    ids = np.random.default_rng(SEED).integers(1000, 30000, (1, count))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def _macs(tokens: int) -> int:
    """Of a sentence in MiniLM: products with weights, and the two of attention."""
    return LAYERS * (12 * WIDTH * WIDTH * tokens + 2 * WIDTH * tokens * tokens)
