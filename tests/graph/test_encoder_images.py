"""Vision transformers that others exported are read back as squeeze's own, and compute what transformers computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from squeeze import teacher as teachers
from squeeze.export import feed_to_ir
from squeeze.graph.encoder import read_encoder
from squeeze.graph.qdq import Refused
from squeeze.students.encoder import Encoder, Params
from tests.teacher.hf.folders import IMAGES, save

if TYPE_CHECKING:
    from pathlib import Path

X = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def read(model: ir.Model) -> Encoder:
    params, weights = read_encoder(model)
    encoder = Encoder(Params.model_validate(params))
    encoder.load_state_dict({name: torch.from_numpy(x) for name, x in weights.items()})
    return encoder.eval()


@pytest.mark.parametrize(("kind", "class_tokens"), [("ViT", 1), ("DeiT", 2)])
def test_folder_is_read_and_computes_what_transformers_does(
    kind: str, class_tokens: int, tmp_path: Path
) -> None:
    pytest.importorskip("transformers", reason="transformers: pip install squeeze[hf]")
    settings = {**IMAGES, "num_labels": 5, "hidden_act": "gelu"}
    network = save(tmp_path / "net", kind, "ForImageClassification", settings)
    with torch.no_grad():  # untrained ones are zeros
        for name, values in network.named_parameters():
            if name.endswith(("token", "position_embeddings", "bias")):
                values.normal_(generator=torch.Generator().manual_seed(len(name)))
        wanted = network(pixel_values=X).logits
    network.save_pretrained(tmp_path / "net")
    teacher = teachers.load(str(tmp_path / "net"), weights=None, example=X.numpy(), folder=tmp_path)
    encoder = read(ir.load(teacher.model))
    patches = encoder.params.patches
    assert patches is not None
    assert (patches.class_tokens, patches.patch, patches.size) == (class_tokens, (4, 4), (12, 12))
    assert (encoder.params.layers, encoder.params.heads, encoder.params.ffn) == (2, 2, 24)
    with torch.no_grad():
        torch.testing.assert_close(encoder(X), wanted, atol=1e-5, rtol=1e-4)


class Other(nn.Module):
    """One layer as timm writes it: queries, keys and values in one product, the mean of all tokens is pooled."""

    def __init__(self, stride: int = 4, *, normed: bool = False, scaled: bool = False) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, stride=stride)
        self.position = nn.Parameter(torch.randn(1, 9 if stride == 4 else 25, 16))
        self.before = nn.LayerNorm(16) if normed else nn.Identity()
        self.factor = nn.Parameter(torch.full((16,), 0.5)) if scaled else None
        self.norm1, self.norm2, self.norm = (nn.LayerNorm(16) for _ in range(3))
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.up, self.down, self.head = nn.Linear(16, 24), nn.Linear(24, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(self.patch(x).flatten(2).transpose(1, 2) + self.position)
        n, s, _ = y.shape
        q, k, v = self.qkv(self.norm1(y)).reshape(n, s, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
        seen = ((q * 8**-0.5) @ k.transpose(-1, -2)).softmax(-1) @ v
        out = self.out(seen.transpose(1, 2).reshape(n, s, 16))
        y = y + (out if self.factor is None else out * self.factor)
        y = y + self.down(nn.functional.relu(self.up(self.norm2(y))))
        found: Tensor = self.head(self.norm(y).mean(1))
        return found


def exported(module: nn.Module) -> ir.Model:
    return feed_to_ir(module.eval(), {"x": X.numpy()}, output_names=["y"])


def test_queries_keys_and_values_in_one_product_are_read() -> None:
    torch.manual_seed(0)
    module = Other()
    encoder = read(exported(module))
    assert (encoder.params.pooling, encoder.params.activation) == ("mean", "relu")
    with torch.no_grad():
        torch.testing.assert_close(encoder(X), module(X), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (Other(stride=2), "patches overlap"),
        (Other(normed=True), "no layer of attention with normalisation before it"),
        (Other(scaled=True), "no layer of attention with normalisation before it"),
        (nn.Sequential(nn.Flatten(), nn.LayerNorm(432), nn.Linear(432, 2)), "no patches"),
    ],
    ids=["overlap", "normed", "scaled", "flat"],
)
def test_other_networks_are_refused_with_what_is_missing(module: nn.Module, why: str) -> None:
    model = exported(module)
    with pytest.raises(Refused, match=why):
        read_encoder(model)
