"""Every kind of model loads, computes what torch computes, and its taps are what the module computes inside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.teacher import Teacher
from tests.teacher import models
from tests.teacher.conftest import load, rewrite, save_pt2

# embedding [n, d] and feature map [n, c, ...] without the batch; None where there is none
EXPECTED: dict[str, tuple[tuple[int, ...] | None, tuple[int, ...] | None]] = {
    "ChannelsLast": ((8,), (8, 4, 4)),
    "Heatmap": (None, None),
    "Image": ((8,), (8, 4, 4)),
    "Signal": ((6,), (6, 18)),
    "Tokens": ((16,), (16, 12)),
    "Vector": ((8,), None),
}


def values(
    teacher: Teacher, x: torch.Tensor
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    found = teacher.outputs(x.numpy())
    return found.logits, found.taps.get("embedding"), found.taps.get("feature_map")


@pytest.mark.parametrize("name", EXPECTED)
def test_archive_computes_what_torch_computes(name: str, tmp_path: Path) -> None:
    module, x = models.make(getattr(models, name)), models.INPUTS[name]
    teacher = load(save_pt2(module, x, tmp_path / "net.pt2"), tmp_path, x)
    logits, embedding, feature_map = values(teacher, x)
    with torch.no_grad():
        expected = module(x).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert teacher.input.shape == tuple(x.shape[1:])
    assert teacher.input.dtype == str(x.numpy().dtype)
    assert teacher.output.shape == expected.shape[1:]
    wanted_embedding, wanted_map = EXPECTED[name]
    assert (None if embedding is None else embedding.shape[1:]) == wanted_embedding
    assert (None if feature_map is None else feature_map.shape[1:]) == wanted_map


def test_taps_are_the_values_inside_of_the_module(tmp_path: Path) -> None:
    module, x = models.make(models.Image), models.INPUTS["Image"]
    teacher = load(save_pt2(module, x, tmp_path / "net.pt2"), tmp_path, x)
    _, embedding, feature_map = values(teacher, x)
    assert embedding is not None
    assert feature_map is not None
    with torch.no_grad():
        inside = module.features(x)
    np.testing.assert_allclose(feature_map, inside.numpy(), atol=1e-5)
    np.testing.assert_allclose(embedding, inside.mean((2, 3)).numpy(), atol=1e-5)


def test_channels_of_a_token_map_come_first(tmp_path: Path) -> None:
    module, x = models.make(models.Tokens), models.INPUTS["Tokens"]
    teacher = load(save_pt2(module, x, tmp_path / "net.pt2"), tmp_path, x)
    _, _, feature_map = values(teacher, x)
    with torch.no_grad():
        expected = module.embedding(x).transpose(1, 2).numpy()
    assert feature_map is not None
    np.testing.assert_allclose(feature_map, expected, atol=1e-6)


def test_counts_of_a_small_network_are_those_made_by_hand(tmp_path: Path) -> None:
    module, x = models.make(models.Image), models.INPUTS["Image"]
    teacher = load(save_pt2(module, x, tmp_path / "net.pt2"), tmp_path, x)
    # 3x3x3x8 weights on 4x4 places, 3x3x8 on 4x4, 8x5; the normalisation is folded into the first bias.
    assert teacher.macs == 216 * 16 + 72 * 16 + 40
    assert teacher.params == (216 + 8) + (72 + 8) + (40 + 5)
    assert teacher.census["Conv"] == 2
    assert teacher.census["DepthwiseConv"] == 1


@pytest.mark.parametrize(
    ("last", "expected"),
    [(nn.Softmax(-1), "softmax"), (nn.Sigmoid(), "sigmoid"), (nn.LogSoftmax(-1), "none")],
    ids=["softmax", "sigmoid", "log_softmax"],
)
def test_final_activation_is_found_and_logits_are_before_it(
    last: nn.Module, expected: str, tmp_path: Path
) -> None:
    module, x = models.make(models.Ending, last), models.INPUTS["Vector"]
    teacher = load(save_pt2(module, x, tmp_path / "net.pt2"), tmp_path, x)
    logits, embedding, _ = values(teacher, x)
    assert teacher.output_activation == expected
    with torch.no_grad():
        before = module(x) if expected == "none" else module.inner(x)
    np.testing.assert_allclose(logits, before.numpy(), atol=1e-5)
    assert embedding is not None
    assert embedding.shape == (4, 8)


def test_teacher_is_rebuilt_from_its_folder(tmp_path: Path) -> None:
    module, x = models.make(models.Signal), models.INPUTS["Signal"]
    teacher = load(save_pt2(module, x, tmp_path / "net.pt2"), tmp_path, x)
    moved = (tmp_path / "step").rename(tmp_path / "moved")
    again = Teacher.from_json(moved, json.loads(json.dumps(teacher.to_json())))
    assert again.model.parent == moved
    assert again.taps == teacher.taps
    assert again.interface == teacher.interface
    with torch.no_grad():
        np.testing.assert_allclose(values(again, x)[0], module(x).numpy(), atol=1e-5)


def test_same_source_gives_the_same_bytes(
    vector_pt2: Path, vector_teacher: Teacher, tmp_path: Path
) -> None:
    first, second = vector_teacher, load(vector_pt2, tmp_path, models.INPUTS["Vector"])
    assert first.model.read_bytes() == second.model.read_bytes()
    assert first.digest == second.digest


def test_many_samples_are_run_in_chunks(vector_teacher: Teacher) -> None:
    x = torch.linspace(-2, 2, 201 * 6).reshape(201, 6)
    with torch.no_grad():
        expected = models.make(models.Vector)(x).numpy()
    np.testing.assert_allclose(vector_teacher.outputs(x.numpy()).logits, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64], ids=["float16", "float64"])
def test_archive_of_other_floats_keeps_them_at_its_ends(dtype: torch.dtype, tmp_path: Path) -> None:
    module, x = models.make(models.Vector), models.INPUTS["Vector"]
    with torch.no_grad():
        expected = module(x).numpy()
    path = save_pt2(module.to(dtype), x.to(dtype), tmp_path / "net.pt2")
    teacher = load(path, tmp_path, x)
    word = str(dtype).removeprefix("torch.")
    assert teacher.input.dtype == teacher.output.dtype == word
    assert teacher.changes == (f"computed in float32 inside, your model uses {word}",)
    answer = teacher.outputs(x.numpy()).logits
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected, atol=3e-3)


def test_blocks_constants_and_a_dict_of_one_output_are_read(tmp_path: Path) -> None:
    module, x = models.make(models.Awkward), models.INPUTS["Vector"]
    teacher = load(save_pt2(module, x, tmp_path / "net.pt2"), tmp_path, x)
    with torch.no_grad():
        expected = module(x)["logits"].numpy()
    np.testing.assert_allclose(teacher.outputs(x.numpy()).logits, expected, atol=1e-5)


def test_archive_of_another_device_runs_on_the_cpu(vector_pt2: Path, tmp_path: Path) -> None:
    def move(members: dict[str, bytes]) -> None:
        for name in members:
            if name.endswith(".json"):
                members[name] = members[name].replace(
                    b'"cpu", "index": null', b'"cuda", "index": 0'
                )

    path = rewrite(vector_pt2, tmp_path / "cuda.pt2", move)
    assert b'"cuda"' in path.read_bytes()
    assert load(path, tmp_path).output.shape == (3,)


def test_export_that_the_runtime_refuses_is_said(tmp_path: Path) -> None:
    ids = torch.arange(24).reshape(4, 6)
    path = save_pt2(models.make(models.Bag), ids, tmp_path / "net.pt2")
    with pytest.raises(UnsupportedError, match=r"net\.pt2: cannot be exported to ONNX"):
        load(path, tmp_path, ids)


@pytest.mark.parametrize("batch", [1, 4])
def test_fixed_batch_of_an_archive_is_freed(batch: int, tmp_path: Path) -> None:
    module, x = models.make(models.Image), models.INPUTS["Image"]
    path = save_pt2(module, x[:batch], tmp_path / "net.pt2", dynamic=False)
    teacher = load(path, tmp_path, x)
    with torch.no_grad():
        np.testing.assert_allclose(values(teacher, x)[0], module(x).numpy(), atol=1e-5)
        one = teacher.outputs(x[1:2].numpy()).logits
        np.testing.assert_allclose(one, module(x[1:2]).numpy(), atol=1e-5)


def test_batch_written_into_shapes_is_freed(tmp_path: Path) -> None:
    module, x = models.make(models.WrittenBatch, 4), models.INPUTS["Vector"]
    path = save_pt2(module, x, tmp_path / "net.pt2", dynamic=False)
    teacher = load(path, tmp_path, x)
    with torch.no_grad():
        expected = module(x).numpy()
    assert teacher.changes == ("the batch, 4 in your file, may be any number",)
    np.testing.assert_allclose(teacher.outputs(x[1:2].numpy()).logits, expected[1:2], atol=1e-5)
    np.testing.assert_allclose(teacher.outputs(x.numpy()).logits, expected, atol=1e-5)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(3), nn.Dropout()], ids=["norm", "dropout"])
def test_model_in_training_mode_is_refused(layer: nn.Module, tmp_path: Path) -> None:
    x = models.INPUTS["Vector"]
    path = save_pt2(models.make(models.Ending, layer).train(), x, tmp_path / "net.pt2")
    with pytest.raises(UnsupportedError, match=r"training mode.*model\.eval"):
        load(path, tmp_path, x)


def test_mismatch_with_the_data_names_both_sides(vector_pt2: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"takes '.*' float32 \[n, 6\], the data gives float32 \[n, 7\]"
    ):
        load(vector_pt2, tmp_path, np.zeros((4, 7), np.float32))
    module, x = models.make(models.Tokens), models.INPUTS["Tokens"]
    path = save_pt2(module, x, tmp_path / "net.pt2")
    with pytest.raises(ConfigError, match=r"int64 \[n, 12\], the data gives float32 \[n, 12\]"):
        load(path, tmp_path, x.numpy().astype(np.float32) + 0.5)


def test_data_in_another_layout_is_arranged_for_the_trial(tmp_path: Path) -> None:
    module, x = models.make(models.Image), models.INPUTS["Image"]
    path = save_pt2(module, x, tmp_path / "net.pt2")
    assert load(path, tmp_path, x.permute(0, 2, 3, 1)).input.shape == (3, 8, 8)


def test_output_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    module, x = models.make(models.Vector), models.INPUTS["Vector"]
    with torch.no_grad():
        module[2].bias[1] = torch.nan
    path = save_pt2(module, x, tmp_path / "net.pt2")
    with pytest.raises(ConfigError, match="NaN or infinity"):
        load(path, tmp_path, x)


def test_untrained_zero_output_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    module, x = models.make(models.Vector), models.INPUTS["Vector"]
    with torch.no_grad():
        module[2].weight.zero_()
        module[2].bias.zero_()
    load(save_pt2(module, x, tmp_path / "net.pt2"), tmp_path, x)
    assert "is 0 for every example" in caplog.text


def test_example_can_be_left_out(vector_teacher: Teacher) -> None:
    assert vector_teacher.output.shape == (3,)


def test_wrong_input_of_outputs_is_refused(vector_teacher: Teacher) -> None:
    with pytest.raises(ConfigError, match=r"\[n, 6\], got float32 \[2, 5\]"):
        vector_teacher.outputs(np.zeros((2, 5), np.float32))
