"""The vision transformer: what it computes, by NumPy and by another library, and its cost by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from squeeze import students
from squeeze.spec import ArchSpec
from squeeze.students.student_spec import StudentSpec
from squeeze.students.vit import FAMILY

Array = NDArray[np.float64]

SIZES: dict[str, int] = {"patch": 4, "width": 48, "depth": 2, "heads": 3, "ratio": 2}


def arch(shape: tuple[int, int, int] = (1, 28, 28), **changed: int) -> ArchSpec:
    spec = StudentSpec(input_shape=shape, outputs=10, layout="channels-first")
    return students.arch_of("vit", spec, {**SIZES, "convolutions": 0, "class_tokens": 1, **changed})


def random_student(which: ArchSpec) -> students.Student:
    """With numbers everywhere, in the statistics of normalisation, too."""
    student = students.build(which, seed=3).eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, values in student.state_dict().items():
            if values.ndim == 1 and values.is_floating_point():
                values.normal_(0, 0.3, generator=generator)
                if name.endswith(("weight", "running_var")):
                    values.abs_().add_(0.5)
    return student


def test_cost_equals_the_hand_count() -> None:
    cost = students.cost(arch(width=96, depth=1, heads=3))
    patches = 16 * 96 + 96
    layer = 2 * 96 + 3 * (96 * 96 + 96) + (96 * 96 + 96) + 2 * 96
    layer += 96 * 192 + 192 + 192 * 96 + 96
    assert cost.params == patches + 50 * 96 + layer + 2 * 96 + 960 + 10
    products = 50 * (4 * 96 * 96 + 2 * 96 * 192) + 2 * 50 * 50 * 96
    assert cost.macs == 49 * 16 * 96 + products + 960


def test_convolutions_take_over_a_part_of_the_patches() -> None:
    cost = students.cost(arch(convolutions=2, width=64, depth=1, heads=2, class_tokens=0))
    # 28 -> 14 with 16 channels -> 7 with 32; what is left of patches of 4 is 1.
    kernels = 9 * 16 * 196 + 9 * 16 * 32 * 49 + 32 * 64 * 49
    products = 49 * (4 * 64 * 64 + 2 * 64 * 128) + 2 * 49 * 49 * 64
    assert cost.macs == kernels + products + 640


def normalised(x: Array, weights: dict[str, Array], name: str) -> Array:
    around = x - x.mean(-1, keepdims=True)
    scaled = around / np.sqrt((around**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x: Array, weights: dict[str, Array], name: str) -> Array:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def patched(image: Array, weights: dict[str, Array], patch: int) -> Array:
    """[c, h, w] -> [s, d], row by row, through the statistics of batch normalisation."""
    _, height, width = image.shape
    corners = [(i, j) for i in range(0, height, patch) for j in range(0, width, patch)]
    rows = np.stack([image[:, i : i + patch, j : j + patch].ravel() for i, j in corners])
    found = rows @ weights["trunk.0.0.0.weight"].reshape(-1, rows.shape[1]).T
    centred = found - weights["trunk.0.0.1.running_mean"]
    scaled = centred / np.sqrt(weights["trunk.0.0.1.running_var"] + 1e-5)
    return np.asarray(
        scaled * weights["trunk.0.0.1.weight"] + weights["trunk.0.0.1.bias"], np.float64
    )


def by_numpy(image: Array, weights: dict[str, Array], params: dict[str, Any]) -> Array:
    x = patched(image, weights, params["patch"])
    if params["class_tokens"]:
        x = np.concatenate([np.zeros((1, x.shape[1])), x])
    x = x + weights["trunk.1.position"]
    size = params["width"] // params["heads"]
    for i in range(2, 2 + params["depth"]):
        inner = normalised(x, weights, f"trunk.{i}.norm1")
        q, k, v = (linear(inner, weights, f"trunk.{i}.{n}") for n in ("query", "key", "value"))
        seen = []
        for head in range(params["heads"]):
            own = slice(head * size, (head + 1) * size)
            shares = np.exp(q[:, own] @ k[:, own].T / math.sqrt(size))
            seen.append(shares / shares.sum(1, keepdims=True) @ v[:, own])
        x = x + linear(np.concatenate(seen, 1), weights, f"trunk.{i}.out")
        up = linear(normalised(x, weights, f"trunk.{i}.norm2"), weights, f"trunk.{i}.up")
        erf = np.vectorize(math.erf)(up / math.sqrt(2))
        x = x + linear(up * (1 + erf) / 2, weights, f"trunk.{i}.down")
    x = normalised(x, weights, f"trunk.{2 + params['depth']}")
    pooled = x[0] if params["class_tokens"] else x.mean(0)
    return linear(pooled, weights, "classifier")


@pytest.mark.parametrize("class_tokens", [0, 1])
def test_forward_equals_numpy(class_tokens: int) -> None:
    which = arch((2, 16, 24), class_tokens=class_tokens)
    student = random_student(which)
    weights = {name: v.double().numpy() for name, v in student.state_dict().items()}
    x = np.random.default_rng(0).normal(size=(3, 2, 16, 24))
    with torch.no_grad():
        found = student(torch.from_numpy(x).float()).numpy()
    wanted = np.stack([by_numpy(image, weights, which.params) for image in x])
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_forward_equals_that_of_transformers_with_the_same_weights() -> None:
    transformers = pytest.importorskip("transformers", reason="pip install squeeze[hf]")
    which = arch()
    config = transformers.ViTConfig(
        image_size=28,
        patch_size=4,
        num_channels=1,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=96,
        layer_norm_eps=1e-5,
        num_labels=10,
    )
    torch.manual_seed(5)
    theirs = transformers.ViTForImageClassification(config).eval()
    student = students.build(which).eval()
    with torch.no_grad():
        for values in theirs.parameters():
            values.copy_(torch.randn_like(values) * 0.2)
        embeddings = theirs.vit.embeddings
        projection, norm = embeddings.patch_embeddings.projection, student.trunk[0][0][1]
        student.trunk[0][0][0].weight.copy_(projection.weight)
        norm.weight.fill_(math.sqrt(1 + norm.eps))
        norm.bias.copy_(projection.bias)
        positions = embeddings.position_embeddings[0].clone()
        positions[0] += embeddings.cls_token[0, 0]
        student.trunk[1].position.copy_(positions)
        # Their names have changed from release to release, their order has not.
        for kind in (nn.Linear, nn.LayerNorm):
            ours, given = (of_kind(m, kind) for m in (student.trunk[2:], theirs.vit))
            for module, source in zip(ours, given, strict=True):
                module.load_state_dict(source.state_dict())
        student.classifier.load_state_dict(theirs.classifier.state_dict())
        x = torch.randn(3, 1, 28, 28)
        torch.testing.assert_close(student(x), theirs(x).logits, rtol=1e-5, atol=1e-5)


def of_kind(module: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [m for m in module.modules() if isinstance(m, kind)]


@pytest.mark.parametrize(
    ("modality", "shape", "fits"),
    [
        ("image", (3, 224, 224), True),
        ("image", (28, 28), True),
        ("spectrogram", (1, 64, 40), True),
        ("image", (3, 29, 31), False),  # nothing cuts both
        ("image", (3, 6, 6), False),  # 9 patches of 2
        ("signal", (2, 400), False),
        ("vector", (40,), False),
    ],
)
def test_it_fits_what_patches_cut_into_16_to_256_tokens(
    modality: str, shape: tuple[int, ...], fits: bool
) -> None:
    assert FAMILY.fits(modality, shape) == fits
