"""What a device can: the data of `targets/*.toml`. Every number in a file has its source beside it.

`squeeze targets` lists the files, `squeeze targets new NAME` writes one of this machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from squeeze.spec import NAMES, Frozen, load

Arch = Literal["host", "x86_64", "arm64", "armv7e-m", "armv8.1-m", "wasm32", "ethos-u", "hexagon"]
RuntimeName = Literal[
    "cuda",
    "ethos-u",
    "hexagon",
    "litert",
    "ncnn-vulkan",
    "onnxruntime",
    "openvino",
    "tensorrt",
    "tflite-micro",
    "web",
]


class Cpu(Frozen):
    """The processor that the model, or what its accelerator leaves over, runs on."""

    arch: Arch = "host"
    features: tuple[str, ...] = ()
    cores: int | None = Field(None, ge=1)
    clock_hz: float | None = Field(None, gt=0)


class Memory(Frozen):
    """What there is, in bytes. sram: of the accelerator or the chip; vtcm: a Hexagon's tightly coupled memory."""

    ram_bytes: int | None = Field(None, gt=0)
    flash_bytes: int | None = Field(None, gt=0)
    sram_bytes: int | None = Field(None, gt=0)
    vtcm_bytes: int | None = Field(None, gt=0)


class Accelerator(Frozen):
    """What runs beside the CPU. options: what its compiler is told, in the compiler's own words."""

    name: str
    clock_hz: float | None = Field(None, gt=0)
    options: dict[str, str] = Field(default_factory=dict)


class RuntimePart(Frozen):
    """What runs the model there. options: what it is opened with, in its own words."""

    name: RuntimeName = "onnxruntime"
    min_version: str = ""
    opset: int = Field(20, ge=13)
    threads: int = Field(1, ge=1)
    custom_ops: bool = True
    options: dict[str, str] = Field(default_factory=dict)


class NumericsPart(Frozen):
    """Types that it runs fast. activations: of int8 models, 'host' is what this machine runs fast; width_alignment:
    channels are a multiple of it where nothing is to be padded away."""

    dtypes: tuple[Literal["float32", "float16", "bfloat16", "int16", "int8", "uint8"], ...] = (
        "float32",
        "int8",
        "uint8",
    )
    activations: Literal["uint8", "int8", "host"] = "host"
    width_alignment: int = Field(1, ge=1)


class Limits(Frozen):
    """What a model may contain. operators: ONNX names, empty where the runtime is asked. max_rank: of tensors."""

    operators: tuple[str, ...] = ()
    max_rank: int | None = Field(None, ge=1)


class Peak(Frozen):
    """What the device reaches at best, for an estimate where nothing else can be had. operator_start_s: seconds that
    starting one operator takes before it does anything."""

    float_macs_per_s: float | None = Field(None, gt=0)
    int8_macs_per_s: float | None = Field(None, gt=0)
    memory_bytes_per_s: float | None = Field(None, gt=0)
    operator_start_s: float | None = Field(None, gt=0)


class Code(Frozen):
    """What the runtime takes of a microcontroller's flash, where nobody says it of the firmware at hand: an estimate.
    kernels: bytes of each operator of TFLite beside the core."""

    core_bytes: int | None = Field(None, gt=0)
    kernels: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)


class Target(Frozen):
    """One device. `sources`: of each number, by its dotted key, where it was read or how it was measured."""

    unkeyed: ClassVar[frozenset[str]] = NAMES | {"sources"}

    schema_version: Literal[2] = Field(2, alias="schema")
    name: str
    summary: str
    transport: Literal["local", "qemu"] = "local"
    cpu: Cpu = Cpu()
    memory: Memory = Memory()
    accelerator: Accelerator | None = None
    runtime: RuntimePart = RuntimePart()
    numerics: NumericsPart = NumericsPart()
    limits: Limits = Limits()
    peak: Peak = Peak()
    code: Code = Code()
    sources: dict[str, str] = Field(default_factory=dict)

    @property
    def integers_only(self) -> bool:
        """Whether the device runs no float model: a float file stands for its int8 form there."""
        return "float32" not in self.numerics.dtypes

    @model_validator(mode="after")
    def _each_number_has_a_source(self) -> Target:
        facts = _numbers(self)
        if missing := sorted(facts - set(self.sources)):
            raise ValueError(
                f"[sources] has nothing for {', '.join(missing)}; say where the number is from"
            )
        if idle := sorted(set(self.sources) - facts):
            raise ValueError(f"[sources] names {', '.join(idle)}, which the file does not set")
        return self


def load_target(source: str | Path, overrides: dict[str, Any] | None = None) -> Target:
    """Reads a shipped target by name, or a TOML file by path. Raises ConfigError."""
    return load(Target, "targets", source, overrides)


# Facts of a device that somebody has to have read or measured; the rest is a choice of how it is used.
_SOURCED = (
    "cpu.clock_hz",
    "memory.ram_bytes",
    "memory.flash_bytes",
    "memory.sram_bytes",
    "memory.vtcm_bytes",
    "accelerator.clock_hz",
    "peak.float_macs_per_s",
    "peak.int8_macs_per_s",
    "peak.memory_bytes_per_s",
    "peak.operator_start_s",
    "code.core_bytes",
    "code.kernels",
)


def _numbers(target: Target) -> set[str]:
    found: set[str] = set()
    for dotted in _SOURCED:
        part, leaf = dotted.split(".")
        value: Any = getattr(target, part)  # Any: one of the parts
        if value is not None and getattr(value, leaf) not in (None, {}):
            found.add(dotted)
    return found
