"""Every family builds from JSON alone, keeps its promises about shapes, and costs what its layers really compute."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from squeeze import students
from squeeze.calib.arrays import from_arrays
from squeeze.errors import ConfigError
from squeeze.interface import Interface, TensorSpec
from squeeze.search.genome import space_of
from squeeze.spec import ArchSpec
from squeeze.students.stages import image_strides
from squeeze.students.student_spec import StudentSpec, layout_of
from squeeze.teacher import Taps, Teacher

if TYPE_CHECKING:
    from squeeze.calib import Calib, Modality
    from squeeze.students import Student

CASES: dict[str, tuple[str, tuple[int, ...], str, int]] = {
    "resnet-32": ("resnet", (3, 32, 32), "image", 10),
    "resnet-28": ("resnet", (1, 28, 28), "image", 10),
    "resnet-8": ("resnet", (1, 8, 8), "image", 3),
    "resnet-96x64": ("resnet", (3, 96, 64), "image", 2),
    "resnet-channels-last": ("resnet", (32, 24, 3), "image", 4),
    "resnet-no-channel": ("resnet", (28, 28), "image", 4),
    "mbconv-32": ("mbconv", (3, 32, 32), "image", 10),
    "mbconv-33": ("mbconv", (3, 33, 33), "image", 10),
    "dsconv-spectrogram": ("dsconv", (1, 49, 10), "spectrogram", 12),
    "dsconv-signal": ("dsconv", (2, 1000), "signal", 5),
    "vit-28": ("vit", (1, 28, 28), "image", 10),
    "vit-32x48": ("vit", (3, 32, 48), "image", 4),
    "vit-channels-last": ("vit", (32, 24, 3), "image", 4),
    "mlp": ("mlp", (40,), "vector", 1),
    "mlp-autoencoder": ("mlp", (5, 8), "vector", 40),
}


def archs(case: str, count: int = 3) -> list[ArchSpec]:
    family, shape, modality, outputs = CASES[case]
    spec = StudentSpec(input_shape=shape, outputs=outputs, layout=layout_of(modality, shape))
    space, rng = space_of(family, spec), random.Random(7)
    coarse = space_of(family, spec, coarse=True)
    return [
        space.arch(space.smallest),
        coarse.arch(coarse.smallest),
        *(space.arch(space.draw(rng)) for _ in range(count)),
    ]


def counted_by_hooks(student: Student, x: torch.Tensor) -> tuple[int, int, list[int]]:
    """Parameters with folded normalisation, MACs, and output elements, from what the modules really did."""
    params, macs, sizes = [], [], []

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        positions = output[0, 0].numel() if output.ndim > 2 else 1
        params.append(weight.numel() + output.shape[1])
        macs.append(weight.numel() * positions)
        sizes.append(output[0].numel())

    hooks = [
        m.register_forward_hook(count)
        for m in student.modules()
        if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Linear))
    ]
    student(x)
    for hook in hooks:
        hook.remove()
    return sum(params), sum(macs), sizes


@pytest.mark.parametrize("case", CASES)
def test_taps_have_the_promised_shapes_when_built(case: str) -> None:
    family, shape, _, outputs = CASES[case]
    for arch in archs(case):
        student = students.build(arch).eval()
        x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            found = student.taps(x)
            assert student(x).equal(found.logits)
            embedding, feature_map = found.taps["embedding"], found.taps["feature_map"]
            assert student.embed(student.features(x)).equal(embedding)
        assert found.logits.shape == (3, outputs)
        assert found.logits.isfinite().all()
        assert embedding.shape == (3, student.classifier.in_features)
        assert feature_map.shape[:2] == embedding.shape
        assert family == "vit" or (feature_map >= 0).all()


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("vit")])
def test_cost_equals_what_hooks_count_when_run(case: str) -> None:
    _, shape, _, _ = CASES[case]
    for arch in archs(case):
        found = students.cost(arch)
        params, macs, sizes = counted_by_hooks(students.build(arch), torch.randn(2, *shape))
        assert (found.params, found.macs) == (params, macs)
        assert sorted(found.activations) == sorted(sizes)


def test_cost_equals_the_hand_count_when_the_architecture_is_resnet_20() -> None:
    arch = students.arch_of(
        "resnet",
        StudentSpec(input_shape=(3, 32, 32), outputs=10, layout="channels-first"),
        {
            "stem": 16,
            "stem_kernel": 3,
            "stem_stride": 1,
            "widths": (16, 32, 64),
            "depths": (3, 3, 3),
            "strides": (1, 2, 2),
        },
    )
    stage_1 = 6 * 9 * 16 * 16 * 1024
    stage_2 = (9 * 16 * 32 + 5 * 9 * 32 * 32 + 16 * 32) * 256
    stage_3 = (9 * 32 * 64 + 5 * 9 * 64 * 64 + 32 * 64) * 64
    assert students.cost(arch).macs == 27 * 16 * 1024 + stage_1 + stage_2 + stage_3 + 640


@pytest.mark.parametrize("case", CASES)
def test_module_is_the_same_after_json(case: str) -> None:
    for arch in archs(case):
        again = ArchSpec.model_validate(json.loads(json.dumps(arch.model_dump(mode="json"))))
        assert again == arch
        one, two = students.build(arch).state_dict(), students.build(again).state_dict()
        assert one.keys() == two.keys()
        assert all(one[k].equal(two[k]) for k in one)


def test_build_leaves_the_random_state_and_differs_by_seed() -> None:
    arch = archs("resnet-28")[0]
    before = torch.get_rng_state()
    one, two = students.build(arch, seed=1), students.build(arch, seed=2)
    assert torch.get_rng_state().equal(before)
    assert not one.classifier.weight.equal(two.classifier.weight)


def test_channels_last_input_gives_what_the_transposed_one_gives() -> None:
    last = archs("resnet-channels-last")[0]
    params = last.params | {"input_shape": [3, 32, 24], "layout": "channels-first"}
    x = torch.randn(2, 32, 24, 3)
    found = students.build(last).eval()(x)
    wanted = students.build(ArchSpec(family="resnet", params=params)).eval()(x.permute(0, 3, 1, 2))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_deployed_ends_with_the_activation_of_the_teacher(activation: Any) -> None:
    student = students.build(archs("resnet-28")[0]).eval()
    x = torch.randn(2, 1, 28, 28)
    logits = student(x)
    wanted = logits.exp() / logits.exp().sum(1, keepdim=True)
    if activation == "sigmoid":
        wanted = 1 / (1 + (-logits).exp())
    torch.testing.assert_close(students.deployed(student, activation)(x), wanted)
    assert students.deployed(student, "none") is student


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "family": ("resnett", {}, "Did you mean 'resnet'"),
    "unknown": ("resnet", {"depth": 3}, "unknown 'depth'. Did you mean 'depths'"),
    "width": ("resnet", {"widths": [16, 20, 32]}, "multiple of 8"),
    "huge": ("resnet", {"widths": [16, 32, 1 << 30]}, "less than or equal to 4096"),
    "lengths": ("resnet", {"depths": [1, 1]}, "depths has 2"),
    "even": ("resnet", {"stem_kernel": 4}, "4 is even"),
    "rank": ("resnet", {"input_shape": [3, 32]}, "1 spatial dimensions"),
    "zero": ("resnet", {"outputs": 0}, "greater than or equal to 1"),
    "patch": ("vit", {"patch": 5}, "patches of 5 do not cut 28x28 evenly"),
    "convolutions": ("vit", {"patch": 4, "convolutions": 3}, "not behind 3 convolutions"),
    "heads": ("vit", {"width": 64, "heads": 3}, "heads: 3 do not divide a width of 64"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_parameters_are_config_errors(case: str) -> None:
    family, changed, message = BAD[case]
    good = archs("vit-28" if family == "vit" else "resnet-32")[0]
    with pytest.raises(ConfigError, match=message):
        students.build(ArchSpec(family=family, params=good.params | changed))


@pytest.mark.parametrize("name", ["input_shape", "widths", "layout"])
def test_a_missing_parameter_is_named(name: str) -> None:
    params = {k: v for k, v in archs("mlp")[0].params.items() if k != name}
    with pytest.raises(ConfigError, match=name):
        students.build(ArchSpec(family="mlp", params=params))


@pytest.mark.parametrize("side", [6, 8, 16, 24, 28, 32, 48, 64, 96, 128, 160, 224, 256, 384, 512])
def test_final_map_is_4_to_8_wide_for_every_image_size(side: int) -> None:
    stem, stages = image_strides((side, side))
    final = -(-side // stem)
    for stride in stages:
        final = -(-final // stride)
    assert (3 if side < 8 else 4) <= final <= 8
    assert len(stages) <= 4


def teacher(*inputs: TensorSpec, census: dict[str, int], outputs: Any = ()) -> Teacher:
    given = outputs or (TensorSpec("y", inputs[0].dtype, (10,)),)
    return Teacher(
        source="teacher.onnx",
        kind="onnx",
        digest="",
        model=Path("teacher.onnx"),
        interface=Interface(inputs, tuple(given)),
        output_activation="softmax",
        census=census,
        taps=Taps("y"),
        params=0,
        macs=0,
    )


def data(modality: Modality, shape: tuple[int, ...]) -> Calib:
    x = np.zeros((2, *shape), np.float32)
    return from_arrays("some", fit=x, calibrate=x, evaluate=x, modality=modality)


FITTING: dict[str, tuple[str, tuple[int, ...], dict[str, int], tuple[str, ...]]] = {
    "dense-image": ("image", (3, 32, 32), {"Conv": 20}, ("resnet",)),
    "transformer-image": ("image", (3, 32, 32), {"Conv": 1, "MatMul": 40}, ("resnet",)),
    "depthwise-image": (
        "image",
        (3, 96, 96),
        {"Conv": 27, "DepthwiseConv": 13},
        ("mbconv", "resnet"),
    ),
    "dense-spectrogram": ("spectrogram", (1, 49, 10), {"Conv": 5}, ("resnet",)),
    "depthwise-spectrogram": (
        "spectrogram",
        (1, 49, 10),
        {"Conv": 9, "DepthwiseConv": 4},
        ("dsconv", "mbconv", "resnet"),
    ),
    "signal": ("signal", (2, 400), {"Conv": 4}, ("dsconv",)),
    "vector": ("vector", (40,), {"Gemm": 3}, ("mlp",)),
    "tokens": ("tokens", (128,), {"Gather": 1}, ()),
}


@pytest.mark.parametrize("case", FITTING)
def test_fitting_follows_the_input_and_the_teachers_kind(case: str) -> None:
    modality, shape, census, wanted = FITTING[case]
    taken = TensorSpec("x", "float32", shape)
    assert students.fitting(teacher(taken, census=census), data(modality, shape)) == wanted


def test_fitting_keeps_the_given_order_and_refuses_unknown_names() -> None:
    images = data("image", (3, 32, 32))
    dense = teacher(IMAGE, census={"Conv": 20})
    assert students.fitting(dense, images, ("mbconv", "mlp", "resnet")) == ("mbconv", "resnet")
    assert students.fitting(dense, images, ("vit", "resnet")) == ("vit", "resnet")
    with pytest.raises(ConfigError, match=r"search.families.*Did you mean 'resnet'"):
        students.fitting(dense, images, ("resnets",))


IMAGE = TensorSpec("x", "float32", (3, 32, 32))
SCORES = TensorSpec("y", "float32", (10,))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_student_fits_floats_of_any_width(dtype: str) -> None:
    taken, given = replace(IMAGE, dtype=dtype), replace(SCORES, dtype=dtype)
    found = teacher(taken, census={"Conv": 20}, outputs=(given,))
    images = data("image", IMAGE.shape)
    assert students.fitting(found, images) == ("resnet",)
    spec = students.spec_of(found, images)
    assert (spec.input_shape, spec.outputs, spec.layout) == ((3, 32, 32), 10, "channels-first")
    assert spec.output_activation == "softmax"


NOTHING: dict[str, tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]] = {
    "batch-second": ((replace(IMAGE, batch_axis=1),), (SCORES,)),
    "bools": ((replace(IMAGE, dtype="bool"),), (SCORES,)),
    "dense-output": ((IMAGE,), (TensorSpec("y", "float32", (10, 32, 32)),)),
    "integers": ((replace(IMAGE, dtype="int64"),), (SCORES,)),
    "no-batch": ((replace(IMAGE, batch_axis=None),), (replace(SCORES, batch_axis=None),)),
    "one-number": ((IMAGE,), (TensorSpec("y", "float32", ()),)),
    "picked-class": ((IMAGE,), (replace(SCORES, dtype="int64"),)),
    "two-inputs": ((IMAGE, replace(IMAGE, name="z")), (SCORES,)),
    "two-outputs": ((IMAGE,), (SCORES, replace(SCORES, name="z"))),
}


@pytest.mark.parametrize("case", NOTHING)
def test_nothing_fits_what_students_cannot_replace(case: str) -> None:
    inputs, outputs = NOTHING[case]
    found = teacher(*inputs, census={"Conv": 20}, outputs=outputs)
    assert students.fitting(found, data("image", IMAGE.shape)) == ()
