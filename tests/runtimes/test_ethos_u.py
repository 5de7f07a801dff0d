"""Ethos-U by Arm's compiler: its numbers as it reports them, and every operator that it leaves to the CPU by name."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from squeeze.errors import ConfigError, MeasureError, UnsupportedError
from squeeze.measure.fixed_sizes import as_sized
from squeeze.runtimes.ethos_u import EthosU
from squeeze.runtimes.litert import LiteRt
from squeeze.runtimes.tflite_file import operators
from squeeze.target import Memory, Target, load_target
from tests.runtimes.tflite_models import (
    CHANNELS,
    CLASSES,
    GEMM_SCALES,
    GEMM_WEIGHTS,
    P_SCALE,
    Y_SCALE,
    bytes_net,
    float_net,
    float_tail_net,
    int8_net,
    refused_net,
    samples,
)

pytest.importorskip("ai_edge_litert", reason="LiteRT: pip install squeeze[npu]")
pytest.importorskip("ethosu.vela", reason="ethos-u-vela: pip install squeeze[npu]")

DATA = Path(os.environ.get("SQUEEZE_DATA", "../shared/data")) / "teachers-mlperf-tiny"
NPUS = ("ethos-u55-128", "ethos-u65-256", "ethos-u85-256")


def target(name: str = "ethos-u55-128", **options: str) -> Target:
    """A shipped target, with more options for the compiler."""
    shipped = load_target(name)
    assert shipped.accelerator is not None
    part = shipped.accelerator.model_copy(
        update={"options": {**shipped.accelerator.options, **options}}
    )
    return shipped.model_copy(update={"accelerator": part})


@pytest.mark.parametrize("name", NPUS)
def test_an_int8_net_is_on_the_npu_whole_and_costs_what_vela_reports(
    name: str, tmp_path: Path
) -> None:
    runtime = EthosU(load_target(name))
    built = runtime.build(int8_net(tmp_path / "net.onnx"), tmp_path)
    cost = runtime.cost(built)
    said = by_the_command_line(built.files["model.tflite"], runtime.target, tmp_path / "vela")
    assert list(built.files) == ["model.tflite", "model_vela.tflite"]
    assert built.notes == ()
    assert cost.source == "cycles"
    assert cost.cycles == int(said["cycles_total"])
    assert cost.latency_ms == pytest.approx(1e3 * float(said["inference_time"]), rel=1e-3)
    assert cost.ram_bytes == float(said["sram_memory_used"]) * 1024
    for area in ("sram", "dram", "off_chip_flash"):
        moved = sum(n for kind, n in cost.traffic_bytes.items() if kind.startswith(area))
        assert moved == int(said[f"{area}_total_bytes"])
    assert cost.persistent_bytes is None
    in_dram = [note for note in cost.notes if "lie in DRAM" in note]
    assert len(in_dram) == (float(said["dram_memory_used"]) > 0)
    assert (cost.accelerator_share, cost.left_over) == (1.0, ())
    assert sum(one.cycles or 0 for one in cost.operators) == cost.cycles
    assert sum(one.share for one in cost.operators) == pytest.approx(1)
    assert all(one.on_accelerator for one in cost.operators)
    assert sum(one.macs or 0 for one in cost.operators) >= 16 * 16 * 8 * 27 + 8 * 5
    assert cost.limited_by
    assert cost.flash_bytes == built.runs.stat().st_size


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    model = int8_net(tmp_path / "net.onnx")
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        files.append(EthosU(target()).build(model, tmp_path / name).runs.read_bytes())
    assert files[0] == files[1]


def test_a_cost_is_the_same_for_whoever_did_not_build_but_for_the_names_of_nodes(
    tmp_path: Path,
) -> None:
    runtime = EthosU(target())
    built = runtime.build(int8_net(tmp_path / "net.onnx"), tmp_path)
    cost, other = runtime.cost(built), EthosU(target()).cost(built)
    assert replace(other, operators=()) == replace(cost, operators=())
    assert [one.cycles for one in other.operators] == [one.cycles for one in cost.operators]
    assert {"conv", "classify"} <= {one.name for one in cost.operators}


def test_a_compiled_file_of_another_npu_has_no_cost_here(tmp_path: Path) -> None:
    built = EthosU(target("ethos-u65-256")).build(int8_net(tmp_path / "net.onnx"), tmp_path)
    with pytest.raises(MeasureError, match=r"not what ethos-u-vela .* build it again"):
        EthosU(target("ethos-u55-128")).cost(built)


def test_what_the_npu_does_not_take_is_named(tmp_path: Path) -> None:
    runtime = EthosU(target())
    built = runtime.build(float_tail_net(tmp_path / "net.onnx"), tmp_path)
    cost = runtime.cost(built)
    assert "classify" in cost.left_over
    assert "conv" not in cost.left_over
    assert 0 < cost.accelerator_share < 1
    assert [one.name for one in cost.operators if not one.on_accelerator] == list(cost.left_over)
    assert any("'classify' (FULLY_CONNECTED)" in note for note in built.notes)
    assert any("without what the CPU runs" in text for text in cost.leaves_out)


def test_a_float_model_is_left_to_the_cpu_whole(tmp_path: Path) -> None:
    runtime = EthosU(target())
    cost = runtime.cost(runtime.build(float_net(tmp_path / "net.onnx"), tmp_path))
    assert cost.accelerator_share == 0
    assert {"conv", "average", "classify"} <= set(cost.left_over)
    assert cost.limited_by == "the CPU: nothing runs on the NPU"


def test_an_operator_that_vela_is_told_to_leave_is_named_too(tmp_path: Path) -> None:
    runtime = EthosU(target(**{"ignore-ops": "FULLY_CONNECTED"}))
    cost = runtime.cost(runtime.build(int8_net(tmp_path / "net.onnx"), tmp_path))
    assert cost.left_over == ("classify",)


def test_outputs_are_those_of_the_file_within_a_step(tmp_path: Path) -> None:
    model, x = int8_net(tmp_path / "net.onnx"), samples(8)
    runtime, litert = EthosU(target()), LiteRt(load_target("litert-cpu"))
    built = runtime.build(model, tmp_path)
    found = runtime.run(built, {"x": x})["y"]
    other = litert.run(litert.build(built.files["model.tflite"], tmp_path), {"x": x})["y"]
    assert found.shape == (8, 5)
    np.testing.assert_array_less(np.abs(found - other) / Y_SCALE, 1.01)


def test_what_the_cpu_beside_it_has_no_kernel_for_is_refused_by_name_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro: pip install squeeze[mcu]")
    runtime, model = EthosU(target()), halved_bytes_net(tmp_path)
    (refusal,) = runtime.refuses(model)
    assert refusal.node == "cast"
    assert "the NPU leaves it to the CPU" in refusal.why
    assert "CAST does not run: Input type UINT8 (3) not supported" in refusal.why
    folder = tmp_path / "built"
    folder.mkdir()
    with pytest.raises(UnsupportedError, match="node 'cast': the NPU leaves it to the CPU"):
        runtime.build(model, folder)
    assert list(folder.iterdir()) == []


def test_where_nobody_can_be_asked_about_the_cpu_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "squeeze.runtimes.host_core.missing_package", lambda *_: "it is not installed"
    )
    runtime, model = EthosU(target()), halved_bytes_net(tmp_path)
    assert runtime.refuses(model) == []
    built = runtime.build(model, tmp_path)
    assert any(
        "was not asked: it is not installed" in text for text in runtime.cost(built).leaves_out
    )
    whole = runtime.build(int8_net(tmp_path / "net.onnx"), tmp_path)
    assert runtime.cost(whole).leaves_out == ()


def test_the_part_of_the_cpu_computes_what_it_does_in_the_whole_file(tmp_path: Path) -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro: pip install squeeze[mcu]")
    from squeeze.runtimes.host_core import write_left
    from squeeze.runtimes.micro_arena import interpreted

    built = EthosU(target()).build(float_tail_net(tmp_path / "net.onnx"), tmp_path)
    given, outputs = write_left(built.runs, tmp_path / "left.tflite")
    left = [one.op for one in operators(tmp_path / "left.tflite")]
    assert left == [one.op for one in operators(built.runs) if one.op != "ethos-u"]
    assert left[-1] == "FULLY_CONNECTED"
    entering = next(x for x in given if x.dtype == np.int8 and x.size == CHANNELS)
    taken, _ = interpreted(tmp_path / "left.tflite", given, outputs)
    codes = entering.ravel().astype(np.float32) + 128  # less the zero point
    weights = GEMM_WEIGHTS * GEMM_SCALES[:, None]
    wanted = weights @ (codes * P_SCALE) + np.linspace(-1, 1, CLASSES)
    np.testing.assert_allclose(taken[-1].ravel(), wanted, rtol=1e-5, atol=1e-5)


def test_what_cannot_be_written_is_refused_with_the_node(tmp_path: Path) -> None:
    model = refused_net(tmp_path / "net.onnx")
    assert [refusal.node for refusal in EthosU(target()).refuses(model)] == ["volume"]
    with pytest.raises(UnsupportedError, match="volume"):
        EthosU(target()).build(model, tmp_path)


def test_a_target_that_does_not_say_which_npu_is_refused(tmp_path: Path) -> None:
    whole = target()
    assert whole.accelerator is not None
    part = whole.accelerator.model_copy(update={"options": {"accelerator-config": "ethos-u65-256"}})
    runtime = EthosU(whole.model_copy(update={"accelerator": part}))
    with pytest.raises(ConfigError, match="no system-config, memory-mode"):
        runtime.build(int8_net(tmp_path / "net.onnx"), tmp_path)


def test_an_option_that_would_write_elsewhere_is_refused(tmp_path: Path) -> None:
    runtime = EthosU(target(**{"output-dir": str(tmp_path / "elsewhere")}))
    with pytest.raises(ConfigError, match=r"\[accelerator\.options\]: unknown 'output-dir'"):
        runtime.build(int8_net(tmp_path / "net.onnx"), tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_what_vela_says_of_a_wrong_option_is_passed_on(tmp_path: Path) -> None:
    runtime = EthosU(target(**{"system-config": "Nowhere"}))
    with pytest.raises(MeasureError, match=r"vela cannot compile it: .*System_Config\.Nowhere"):
        runtime.build(int8_net(tmp_path / "net.onnx"), tmp_path)


def test_a_damaged_file_ends_vela_and_not_us(tmp_path: Path) -> None:
    built = EthosU(target()).build(int8_net(tmp_path / "net.onnx"), tmp_path)
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(built.files["model.tflite"].read_bytes()[:300])
    with pytest.raises(MeasureError, match="vela cannot compile it"):
        EthosU(target()).build(damaged, tmp_path)


def test_sram_is_kept_to_or_refused_with_both_numbers(tmp_path: Path) -> None:
    model = int8_net(tmp_path / "net.onnx")
    free = EthosU(target())
    needs = free.cost(free.build(model, tmp_path)).ram_bytes
    little = EthosU(target().model_copy(update={"memory": Memory(sram_bytes=256)}))
    assert needs is not None
    assert needs > 256
    (refusal,) = little.refuses(model)
    assert "the target has 256 bytes" in refusal.why
    enough = EthosU(target().model_copy(update={"memory": Memory(sram_bytes=needs)}))
    assert enough.refuses(model) == []


@pytest.mark.data
@pytest.mark.parametrize(
    ("model", "cycles"),
    [
        pytest.param("pretrainedResnet_quant", (201_747, 113_373, 99_010), id="resnet8"),
        pytest.param("vww_96_int8", (220_870, 246_086, 212_034), id="vww"),
    ],
)
def test_reference_models_take_the_cycles_that_are_known(
    model: str, cycles: tuple[int, int, int], tmp_path: Path
) -> None:
    path = DATA / "ref-tflite" / f"{model}.tflite"
    if not path.is_file():
        pytest.skip(f"{path} is missing; set SQUEEZE_DATA")
    found = []
    for name in NPUS:
        runtime = EthosU(load_target(name))
        cost = runtime.cost(runtime.build(path, tmp_path))
        assert cost.accelerator_share == 1
        found.append(cost.cycles)
    assert tuple(found) == cycles


def halved_bytes_net(folder: Path) -> Path:
    """Bytes that are cast and halved on the CPU, and pooled on the NPU."""
    by = ["scale", "zero"]
    nodes = [
        helper.make_node("Mul", ["f", "half"], ["h"], "halve"),
        helper.make_node("QuantizeLinear", ["h", *by], ["h_q"]),
        helper.make_node("DequantizeLinear", ["h_q", *by], ["d"]),
        helper.make_node("MaxPool", ["d"], ["m"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("QuantizeLinear", ["m", *by], ["m_q"]),
        helper.make_node("DequantizeLinear", ["m_q", *by], ["y"]),
    ]
    model = bytes_net(folder / "bytes.onnx", TensorProto.UINT8, *nodes)
    x = np.zeros((1, 2, 4, 4), np.uint8)
    return as_sized(EthosU(target()), model, {"x": x}, folder / "sized.onnx")


def by_the_command_line(model: Path, of: Target, folder: Path) -> dict[str, str]:
    """vela's summary by its own command."""
    assert of.accelerator is not None
    options = [
        part for name, value in of.accelerator.options.items() for part in (f"--{name}", value)
    ]
    subprocess.run(
        [sys.executable, "-m", "ethosu.vela", str(model), "--output-dir", str(folder), *options],
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*_summary_*.csv")
    with path.open(encoding="utf-8", newline="") as stream:
        return next(csv.DictReader(stream))
