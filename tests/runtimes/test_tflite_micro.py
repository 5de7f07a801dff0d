"""Microcontrollers by tflite-micro: what fits, what is supported, and the same numbers as LiteRT."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.measure.fixed_sizes import as_sized
from squeeze.runtimes.litert import LiteRt
from squeeze.runtimes.litert_interpreter import Opened
from squeeze.runtimes.tflite_file import operators
from squeeze.runtimes.tflite_micro import CODE_BYTES, TfliteMicro
from squeeze.target import Code, Memory, Target, load_target
from tests.runtimes.tflite_models import (
    CHANNELS,
    SIDE,
    Y_SCALE,
    bytes_net,
    float_net,
    int8_net,
    reference,
    refused_net,
    samples,
)

pytest.importorskip("ai_edge_litert", reason="LiteRT: pip install squeeze[mcu]")
pytest.importorskip("tflite_micro", reason="tflite-micro: pip install squeeze[mcu]")

DATA = Path(os.environ.get("SQUEEZE_DATA", "../shared/data")) / "teachers-mlperf-tiny"


def target(memory: Memory | None = None, code: Code | None = None, **options: str) -> Target:
    """The shipped one, but for these; its table of code is left out where none is given."""
    shipped = load_target("mcu-cortex-m4")
    part = shipped.runtime.model_copy(update={"options": options})
    others = {"memory": memory or shipped.memory, "code": code or Code()}
    return shipped.model_copy(update={"runtime": part, **others})


def test_outputs_are_those_of_the_reference_kernels_and_within_a_step_of_xnnpack(
    tmp_path: Path,
) -> None:
    runtime, x = TfliteMicro(target()), samples(8)
    built = runtime.build(int8_net(tmp_path / "net.onnx"), tmp_path)
    found = runtime.run(built, {"x": x})["y"]
    np.testing.assert_array_equal(found, Opened(built.runs, reference=True).run({"x": x})["y"])
    litert = LiteRt(load_target("litert-cpu"))
    other = litert.run(litert.build(built.runs, tmp_path), {"x": x})["y"]
    np.testing.assert_array_less(np.abs(found - other) / Y_SCALE, 1.01)


def test_a_float_model_gives_what_the_onnx_file_gives(tmp_path: Path) -> None:
    runtime, x = TfliteMicro(target()), samples(2)
    model = float_net(tmp_path / "net.onnx")
    found = runtime.run(runtime.build(model, tmp_path), {"x": x})
    for name, values in reference(model, x).items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_bytes_that_are_cast_and_quantised_go_in_as_they_are(dtype: str, tmp_path: Path) -> None:
    def pair(given: str, taken: str) -> list[onnx.NodeProto]:
        by = ["scale", "zero"]
        return [
            helper.make_node("QuantizeLinear", [given, *by], [f"{given}_q"]),
            helper.make_node("DequantizeLinear", [f"{given}_q", *by], [taken]),
        ]

    pool = helper.make_node("MaxPool", ["d"], ["m"], kernel_shape=[2, 2], strides=[2, 2])
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [*pair("f", "d"), pool, *pair("m", "y")]
    model = bytes_net(tmp_path / "net.onnx", kind, *nodes)
    limits = np.iinfo(dtype)
    x = np.random.default_rng(0).integers(limits.min, limits.max + 1, (3, 2, 4, 4)).astype(dtype)
    runtime = TfliteMicro(target())
    sized = as_sized(runtime, model, {"x": x[:1]}, tmp_path / "sized.onnx")
    assert runtime.refuses(sized) == []
    built = runtime.build(sized, tmp_path)
    assert "CAST" not in [one.op for one in operators(built.runs)]
    wanted = x.reshape(3, 2, 2, 2, 2, 2).max(axis=(3, 5)).astype(np.float32)
    np.testing.assert_array_equal(runtime.run(built, {"x": x})["y"], wanted)


def test_an_operator_without_a_kernel_for_its_numbers_is_named_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    relu = helper.make_node("Relu", ["f"], ["y"], "relu")
    runtime = TfliteMicro(target())
    model = bytes_net(tmp_path / "net.onnx", TensorProto.UINT8, relu)
    sized = as_sized(runtime, model, {"x": np.zeros((1, 2, 4, 4), np.uint8)}, tmp_path / "s.onnx")
    (refusal,) = runtime.refuses(sized)
    assert refusal.node == "cast"
    assert "CAST does not run: Input type UINT8 (3) not supported" in refusal.why
    folder = tmp_path / "built"
    folder.mkdir()
    with pytest.raises(UnsupportedError, match="node 'cast': tflite-micro's CAST does not run"):
        runtime.build(sized, folder)
    assert list(folder.iterdir()) == []


def test_activations_are_the_tensors_that_live_together(tmp_path: Path) -> None:
    """The input and what the convolution makes of it: 16 x 16 x 3 and 16 x 16 x 8 bytes."""
    runtime = TfliteMicro(target())
    cost = runtime.cost(runtime.build(int8_net(tmp_path / "net.onnx"), tmp_path))
    assert cost.source == "static"
    assert cost.ram_bytes == SIDE * SIDE * (3 + CHANNELS)
    assert cost.persistent_bytes is not None
    assert cost.persistent_bytes > 0
    assert cost.latency_ms is None
    assert cost.flash_bytes == cost.file_bytes == (tmp_path / "model.tflite").stat().st_size
    assert any("model alone" in note for note in cost.notes)


def test_code_that_the_target_names_is_in_the_flash(tmp_path: Path) -> None:
    runtime = TfliteMicro(target(**{CODE_BYTES: "50000"}))
    cost = runtime.cost(runtime.build(int8_net(tmp_path / "net.onnx"), tmp_path))
    assert cost.flash_bytes == (cost.file_bytes or 0) + 50_000
    with pytest.raises(ConfigError, match=r"code-bytes: got '48 KB', allowed: a number of bytes"):
        TfliteMicro(target(**{CODE_BYTES: "48 KB"})).refuses(tmp_path / "net.onnx")


def test_flash_has_the_interpreter_and_the_kernels_that_the_model_has(tmp_path: Path) -> None:
    model = int8_net(tmp_path / "net.onnx")
    used = {
        operator.op for operator in operators(TfliteMicro(target()).build(model, tmp_path).runs)
    }
    assert "CONV_2D" in used
    code = Code(core_bytes=30_000, kernels=dict.fromkeys(used, 1_000) | {"SOFTMAX": 500_000})
    runtime = TfliteMicro(target(code=code))
    cost = runtime.cost(runtime.build(model, tmp_path))
    assert cost.flash_bytes == (cost.file_bytes or 0) + 30_000 + 1_000 * len(used)
    assert any("an estimate of" in note and "CONV_2D" in note for note in cost.notes)
    # What a linker said goes before it, and an estimate is no ground to refuse.
    known = TfliteMicro(target(code=code, **{CODE_BYTES: "50000"}))
    assert known.cost(known.build(model, tmp_path)).flash_bytes == (cost.file_bytes or 0) + 50_000
    tight = Memory(ram_bytes=1 << 20, flash_bytes=cost.file_bytes)
    assert TfliteMicro(target(tight, code)).refuses(model) == []


def test_an_operator_without_a_known_size_is_named(tmp_path: Path) -> None:
    runtime = TfliteMicro(target(code=Code(core_bytes=30_000, kernels={"SOFTMAX": 1})))
    cost = runtime.cost(runtime.build(int8_net(tmp_path / "net.onnx"), tmp_path))
    assert any("without CONV_2D" in note for note in cost.notes)


@pytest.mark.parametrize("name", ["mcu-cortex-m4", "mcu-cortex-m7", "mcu-cortex-m55"])
def test_shipped_boards_say_what_code_takes(name: str) -> None:
    code = load_target(name).code
    assert code.core_bytes is not None
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "SOFTMAX"} <= code.kernels.keys()
    # They are of one library: what is learned of an operator is said for all boards.
    assert code == load_target("mcu-cortex-m4").code


def test_more_ram_or_flash_than_there_is_is_refused_with_both_numbers(tmp_path: Path) -> None:
    model = int8_net(tmp_path / "net.onnx")
    plenty = TfliteMicro(target())
    cost = plenty.cost(plenty.build(model, tmp_path))
    ram = (cost.ram_bytes or 0) + (cost.persistent_bytes or 0)
    flash = cost.flash_bytes or 0
    assert plenty.refuses(model) == []
    just = TfliteMicro(target(Memory(ram_bytes=ram, flash_bytes=flash)))
    assert just.refuses(model) == []
    small = TfliteMicro(target(Memory(ram_bytes=ram - 1, flash_bytes=flash - 1)))
    by_ram, by_flash = small.refuses(model)
    assert f"({ram} bytes: {SIDE * SIDE * 11} of activations" in by_ram.why
    assert f"has {ram - 1} bytes" in by_ram.why
    assert f"({flash} bytes), mcu-cortex-m4 has {flash - 1} bytes" in by_flash.why
    with pytest.raises(UnsupportedError, match="RAM"):
        small.build(model, tmp_path)


def test_an_operator_that_it_lacks_is_named(tmp_path: Path) -> None:
    pytest.importorskip("ethosu.vela", reason="ethos-u-vela: pip install squeeze[npu]")
    from squeeze.runtimes.ethos_u import EthosU

    compiled = EthosU(load_target("ethos-u55-128")).build(int8_net(tmp_path / "net.onnx"), tmp_path)
    (refusal,) = TfliteMicro(target()).refuses(compiled.runs)
    assert "tflite-micro has no operator ethos-u" in refusal.why


def test_what_cannot_be_written_is_refused_with_the_node(tmp_path: Path) -> None:
    model = refused_net(tmp_path / "net.onnx")
    assert [refusal.node for refusal in TfliteMicro(target()).refuses(model)] == ["volume"]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    built = TfliteMicro(target()).build(int8_net(tmp_path / "net.onnx"), tmp_path)
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(built.runs.read_bytes()[:300])
    with pytest.raises((ConfigError, UnsupportedError), match=r"damaged|model"):
        TfliteMicro(target()).build(damaged, tmp_path)


@pytest.mark.data
@pytest.mark.parametrize(
    ("model", "activations"),
    [
        pytest.param("pretrainedResnet_quant", 49_152, id="resnet8"),
        pytest.param("vww_96_int8", 73_728, id="vww"),
    ],
)
def test_reference_models_take_the_arena_that_is_known(
    model: str, activations: int, tmp_path: Path
) -> None:
    path = DATA / "ref-tflite" / f"{model}.tflite"
    if not path.is_file():
        pytest.skip(f"{path} is missing; set SQUEEZE_DATA")
    runtime = TfliteMicro(target())
    assert runtime.cost(runtime.build(path, tmp_path)).ram_bytes == activations
