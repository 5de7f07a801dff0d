"""A small BERT as torch's older exporter writes it, quantised by ONNX Runtime's static quantiser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

Array = NDArray[np.int64]
Feed = dict[str, Array]
VOCABULARY, LENGTHS = 100, (9, 14)


def feeds(count: int, *, padded: bool = True, seed: int = 0) -> list[Feed]:
    """Pairs of token sequences of one length, the second one padded by some tokens."""
    rng = np.random.default_rng(seed)
    found: list[Feed] = []
    for _ in range(count):
        length = int(rng.integers(*LENGTHS))
        mask = np.ones((2, length), np.int64)
        mask[1, length - 3 :] = 0 if padded else 1
        found.append(
            {"input_ids": rng.integers(1, VOCABULARY, (2, length)), "attention_mask": mask}
        )
    return found


class _Samples(CalibrationDataReader):  # type: ignore[misc]  # untyped base class
    def __init__(self, samples: list[Feed]) -> None:
        self.samples: Iterator[Feed] = iter(samples)

    def get_next(self) -> Feed | None:
        return next(self.samples, None)


def quantised(
    folder: Path,
    attention: str,
    opset: int,
    *,
    prepared: bool = False,
    padded: bool = True,
    **settings: Any,  # Any: those of quantize_static
) -> Path:
    """The Q/DQ file of one layer with two heads of 32 numbers; `prepared`: by the runtime's own tool before."""
    torch = pytest.importorskip("torch", reason="torch: pip install squeeze[torch]")
    transformers = pytest.importorskip(
        "transformers", reason="transformers: pip install squeeze[hf]"
    )
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=32,
        attn_implementation=attention,
    )
    torch.manual_seed(0)

    class States(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is not imported here
        def __init__(self) -> None:
            super().__init__()
            self.bert = transformers.BertModel(config, add_pooling_layer=False)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:  # Any: tensors
            return self.bert(input_ids, attention_mask).last_hidden_state

    model = States().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # As initialised, all keys would weigh nearly alike.
            parameter.copy_(parameter * 4 if parameter.ndim > 1 else parameter + 0.1)
    axes = {0: "batch", 1: "length"}
    names = ["input_ids", "attention_mask"]
    path, result = folder / "float.onnx", folder / "int8.onnx"
    torch.onnx.export(
        model,
        tuple(torch.from_numpy(feeds(1)[0][name]) for name in names),
        str(path),
        dynamo=False,
        opset_version=opset,
        input_names=names,
        output_names=["states"],
        dynamic_axes={name: axes for name in (*names, "states")},
    )
    if prepared:
        quant_pre_process(str(path), str(folder / "prepared.onnx"), skip_symbolic_shape=True)
        path = folder / "prepared.onnx"
    quantize_static(
        str(path),
        str(result),
        _Samples(feeds(4, padded=padded)),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        **settings,
    )
    return result
