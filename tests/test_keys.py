"""For every noun that a step is given: two values of a field that can change a result give two keys, and names,
summaries and what the report tells give one.

Every field of every noun is in one of the two tables, or the test fails: a new field has to say which kind it is.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic_core import PydanticUndefined

from squeeze import calib, spec, target
from squeeze.calib import Preprocess
from squeeze.calib.text import Tokenised
from squeeze.case import Case
from squeeze.device import Device, Numerics
from squeeze.front import Candidate, Original, Written
from squeeze.guides.panel import Panel
from squeeze.interface import Interface, TensorSpec
from squeeze.machine.facts import Facts
from squeeze.measure import LatencyTable
from squeeze.metrics import Reading
from squeeze.net import FloatNet
from squeeze.run import keyed
from squeeze.spec import ArchSpec, Frozen
from squeeze.steps.problem import Example, Source
from squeeze.target import RuntimePart, Target
from squeeze.teacher import Taps, Teacher
from squeeze.train.compute import Compute
from squeeze.workdir import Workdir

INTERFACE = Interface((TensorSpec("x", "float32", (3,)),), (TensorSpec("y", "float32", (2,)),))
OTHER_INTERFACE = Interface((TensorSpec("x", "float32", (4,)),), INTERFACE.outputs)
FACTS = Facts("x86_64", "a CPU", ("x86_avx2",), "", 2, "library", "onnxruntime", "1.0")
TEXT = Tokenised(
    b"{}", "digest", 8, 0, ("text",), {"x": "ids"}, {"x": "int64"}, 0, False, False, None, ("a b",)
)
NUMERICS = Numerics("uint8", True, True, True, 20)


def data(seed: int = 0, **changed: Any) -> calib.Calib:
    x = np.random.default_rng(seed).standard_normal((12, 3)).astype(np.float32)
    made = calib.from_arrays("set", fit=x[:4], calibrate=x[4:8], evaluate=x[8:], modality="vector")
    return dataclasses.replace(made, **changed)


def teacher(**changed: Any) -> Teacher:
    known: dict[str, Any] = {
        "source": "t.onnx",
        "kind": "onnx",
        "digest": "d",
        "model": Path("t.onnx"),
        "interface": INTERFACE,
        "output_activation": "none",
        "census": {},
        "taps": Taps("y"),
        "params": 1,
        "macs": 1,
    }
    return Teacher(**{**known, **changed})


def net(**changed: Any) -> FloatNet:
    return FloatNet(
        **{
            "origin": "kept",
            "file": Path("f.onnx"),
            "digest": "d",
            "interface": INTERFACE,
            **changed,
        }
    )


def candidate(**changed: Any) -> Candidate:
    known = {"net": net(), "form": "int8", "file": Path("f.onnx"), "digest": "d", "drop": 0.0}
    return Candidate(**{**known, **changed})


def case(**changed: Any) -> Case:
    known = {
        "teacher": teacher(),
        "net": net(),
        "data": data(),
        "readings": (Reading("y", "agreement"),),
        "answers": Path("answers"),
    }
    return Case(**{**known, **changed})


def device(folder: Path, **changed: Any) -> Device:
    known = {
        "target": Target(name="t", summary="s"),
        "facts": FACTS,
        "numerics": NUMERICS,
        "table": LatencyTable(folder, FACTS.key()),
    }
    return Device(**{**known, **changed})


def panel(**changed: Any) -> Panel:
    return Panel(**{"others": (teacher(),), "weights": (1.0,), "how": "mean", **changed})


SPLIT = data(5).fit

# noun -> how it is made, field -> another value of it, and fields that change no result, with the reason.
NOUNS: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, Any]]] = {
    "Panel": (
        panel,
        {"others": (teacher(digest="another"),), "weights": (0.5,), "how": "best"},
        {},
    ),
    "Facts": (
        lambda **c: dataclasses.replace(FACTS, **c),
        {
            "arch": "arm64",
            "host": "another",
            "isa": ("x86_avx2", "x86_avx512vnni"),
            "isa_limit": "portable",
            "cores": 4,
            "library": "other",
            "runtime": "another",
            "runtime_version": "1.1",
        },
        {},
    ),
    "Numerics": (
        lambda **c: dataclasses.replace(NUMERICS, **c),
        {
            "activations": "int8",
            "safe_weights": False,
            "custom_ops": False,
            "native": False,
            "opset": 17,
        },
        {},
    ),
    "Compute": (
        lambda **c: dataclasses.replace(Compute("cpu", torch.float32, torch.float32), **c),
        {"device": "cuda", "dtype": torch.bfloat16, "dense_dtype": torch.bfloat16},
        {},
    ),
    "Calib": (
        data,
        {
            "digest": "other",
            "preprocesses": {"x": Preprocess(layout="as-is", scale=0.5, dtype="float32")},
            "modality": "signal",
            "metric": "mse",
            "output": "y",
            "classes": 3,
            "states": {"h": "hn"},
            "steps": 5,
            "embedded": {"x": Preprocess(layout="as-is", scale=0.5, dtype="float32")},
            "text": TEXT,
        },
        # The digest is that of all splits.
        {
            "name": "n",
            "source": "s",
            "assumed": ("a",),
            "fit": SPLIT,
            "calibrate": SPLIT,
            "evaluate": SPLIT,
            "origins": {"x": "x of d.npz"},
            "licence": "MIT",
            "class_names": ("cat", "dog"),
        },
    ),
    "Reading": (
        lambda **c: Reading(**{"output": "y", "metric": "top1", **c}),
        {"output": "z", "metric": "auc", "also": ("w",)},
        {},
    ),
    "Teacher": (
        teacher,
        {"digest": "other"},
        # All of them follow from the bytes that the digest is of.
        {
            "source": "u.onnx",
            "kind": "pt2",
            "model": Path("u.onnx"),
            "interface": OTHER_INTERFACE,
            "output_activation": "softmax",
            "census": {"Conv": 1},
            "taps": Taps("z"),
            "params": 2,
            "macs": 2,
            "changes": ("c",),
            "metadata": {"author": "a"},
        },
    ),
    "FloatNet": (
        net,
        {"digest": "other", "interface": OTHER_INTERFACE},
        # The file has the architecture and its weights.
        {
            "origin": "student",
            "file": Path("g.onnx"),
            "arch": ArchSpec(family="mlp"),
            "weights": Path("w"),
            "story": {"a": 1},
        },
    ),
    "Candidate": (
        candidate,
        # The name goes into results.
        {
            "digest": "other",
            "form": "float",
            "net": net(origin="student"),
            "original": Original(Path("o.onnx"), "own", 1),
            "written": Written(Path("w.onnx"), "w"),
        },
        {
            "file": Path("g.onnx"),
            "drop": 1.0,
            "bits": 8,
            "story": {"a": 1},
            "class_drop": 1.0,
            "contract_bytes": 9,
        },
    ),
    "Case": (
        case,
        {
            "teacher": teacher(digest="other"),
            "data": data(1),
            "readings": (Reading("y", "error"),),
            "net": net(interface=OTHER_INTERFACE),
            "by_heart": (90.0,),
            "by_heart_recalls": ((0, 90.0),),
        },
        # What the teacher says follows from teacher and data; files with their preprocessing have digests of their own.
        {"answers": Path("elsewhere"), "embeds": True},
    ),
    "Source": (
        lambda **c: Source(**{"path": "p", "weights": None, "digest": "d", **c}),
        {"digest": "other"},
        {"path": "q", "weights": "w"},
    ),
    "Example": (
        lambda **c: Example(**{"guessed": {"x": np.zeros(3)}, "stored": {"x": np.zeros(3)}, **c}),
        {"guessed": {"x": np.ones(3)}, "stored": {"x": np.zeros(3, np.uint8)}},
        # The arrays are those that follow from it.
        {"origins": {"x": "x of d.npz"}},
    ),
}


def shown(value: Any) -> str:
    """A key as text; it has to be JSON."""
    return json.dumps(keyed(value), sort_keys=True)


@pytest.mark.parametrize("noun", NOUNS)
def test_each_field_that_can_change_a_result_moves_the_key(noun: str) -> None:
    make, deciding, _ = NOUNS[noun]
    plain = shown(make())
    for field, value in deciding.items():
        assert shown(make(**{field: value})) != plain, field


@pytest.mark.parametrize("noun", NOUNS)
def test_names_and_what_follows_from_the_rest_leave_the_key(noun: str) -> None:
    make, _, plain_fields = NOUNS[noun]
    plain = shown(make())
    for field, value in plain_fields.items():
        assert shown(make(**{field: value})) == plain, field


@pytest.mark.parametrize("noun", NOUNS)
def test_every_field_is_known_to_be_of_one_kind(noun: str) -> None:
    make, deciding, plain_fields = NOUNS[noun]
    fields = {f.name for f in dataclasses.fields(make())}
    assert fields == set(deciding) | set(plain_fields)
    assert not set(deciding) & set(plain_fields)


def test_every_field_of_a_device_moves_its_key_but_the_memory_of_timings(tmp_path: Path) -> None:
    plain = shown(device(tmp_path))
    for changed in (
        {"target": Target(name="t", summary="s", runtime=RuntimePart(threads=2))},
        {"facts": dataclasses.replace(FACTS, isa_limit="portable")},
        {"numerics": dataclasses.replace(NUMERICS, opset=17)},
    ):
        assert shown(device(tmp_path, **changed)) != plain
    other_table = LatencyTable(tmp_path / "elsewhere", FACTS.key())
    assert shown(device(tmp_path, table=other_table)) == plain
    assert {f.name for f in dataclasses.fields(Device)} == {
        "target",
        "facts",
        "numerics",
        "table",
        "runtime",  # follows from the target, and its version is in the facts
    }


# Of the recipe and the target: another value for each kind of field, by its name where the kind is not enough.
OTHERS: dict[str, Any] = {
    "selection": "random",
    "observer": "minmax",
    "importance": "l2",
    "scope": "group",
    "sparsity": "2:4",
    "scaling": "linear",
    "method": "mixed",
    "quantiser": "uniform",
    "weight_scaling": "linear",
    "bucket": 256,
    "rounding": "stochastic",
    "gradient": "exact",
    "codec": "hard",
    "drop_unsure": 0.1,
    "keep": 0.5,
    "keep_chosen": "once",
    "label_unsure": 0.1,
    "thin_sure": 0.1,
    "least_sure": 0.1,
    "panel": "best",
    "precision": "fp32",
    "keep_float": ("Conv",),
    "max_bits": 4,
    "objective": "fastest",
    "arch": "x86_64",
    "activations": "int8",
    "bits": 4,
    "ends_bits": 4,
    "families": ("mlp",),
    "max_latency_ms": 1.0,
    "max_bytes": 1,
    "max_ram_bytes": 1,
    "max_flash_bytes": 1,
    "max_worst_class_drop": 1.0,
    "params": {"a": 1},
    "family": "mlp",
    "label_weight": 0.5,
    "ema": 0.5,
    "warmup": 0.5,
    "opset": 17,
    "ratio": 0.5,
    "dtype": "float32",
    "layout": "flatten",
    "channel_order": "reversed",
    "resize": (4, 4),
    "scale": 0.5,
    "mean": (0.5,),
    "std": (0.5,),
    "features": ("neon",),
    "cores": 2,
    "clock_hz": 1.0,
    "ram_bytes": 1,
    "flash_bytes": 1,
    "sram_bytes": 1,
    "vtcm_bytes": 1,
    "options": {"a": "1"},
    "dtypes": ("float32",),
    "operators": ("Conv",),
    "max_rank": 4,
    "float_macs_per_s": 1.0,
    "int8_macs_per_s": 1.0,
    "memory_bytes_per_s": 1.0,
    "operator_start_s": 1.0,
    "core_bytes": 1,
    "kernels": {"CONV_2D": 1},
}
# Of one part alone, where its name means something else in another.
OTHERS_OF: dict[tuple[str, str], Any] = {
    ("AdaptivePart", "compute"): 0.5,
    ("RuntimePart", "name"): "openvino",
    ("Target", "transport"): "qemu",
    ("Target", "cpu"): {"arch": "arm64"},
    ("MaskedPart", "share"): 0.5,
    ("MaskedPart", "depth"): 0.5,
    ("SearchPart", "bits"): 8,
    ("SearchPart", "start"): "inherit",
    ("ShrinkPart", "steps"): 5,
    ("Stage", "data"): "task",
    ("Stage", "teacher"): "fine-tuned",
    ("Stage", "loss"): "answers",
    ("Target", "accelerator"): {"name": "npu"},
    ("Target", "runtime"): {"threads": 2},
    ("Target", "numerics"): {"activations": "int8"},
    ("Target", "limits"): {"max_rank": 4},
}
# Numbers and their sources stand or fall together: tests/test_target.py changes both.
TOGETHER = {("Target", "code"), ("Target", "memory"), ("Target", "peak"), ("Target", "sources")}
PARTS = (
    spec.AdaptivePart,
    spec.ArchSpec,
    spec.DistillPart,
    spec.Goal,
    spec.MaskedPart,
    spec.PrunePart,
    spec.PuzzlePart,
    spec.QuantPart,
    spec.SearchPart,
    spec.ShrinkPart,
    spec.Stage,
    target.Accelerator,
    target.Code,
    target.Cpu,
    target.Limits,
    target.Memory,
    target.NumericsPart,
    target.Peak,
    target.RuntimePart,
    target.Target,
    Preprocess,
)
NEEDED: dict[str, dict[str, Any]] = {
    "ArchSpec": {"family": "resnet"},
    "Accelerator": {"name": "npu"},
    "Stage": {"data": "general", "teacher": "pretrained", "loss": "latent", "steps": 1},
    "Target": {"name": "t", "summary": "s"},
}


def other(part: type[Frozen], name: str, value: Any) -> Any:
    if (part.__name__, name) in OTHERS_OF:
        return OTHERS_OF[part.__name__, name]
    if name in OTHERS:
        return OTHERS[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    assert isinstance(value, str), f"{name}: what is another value of it?"
    return f"{value}-other"


@pytest.mark.parametrize("part", PARTS, ids=lambda p: p.__name__)
def test_every_field_of_a_part_moves_its_key_but_names(part: type[Frozen]) -> None:
    needed = NEEDED.get(part.__name__, {})
    plain = part.model_validate(needed)
    for name, field in part.model_fields.items():
        if (part.__name__, name) in TOGETHER or name == "schema_version":
            continue
        value = needed.get(name, field.default)
        value = getattr(plain, name) if value is PydanticUndefined or value is None else value
        changed = part.model_validate({**needed, (field.alias or name): other(part, name, value)})
        assert (shown(changed) == shown(plain)) == (name in part.unkeyed), name


def test_only_names_places_of_checkpoints_and_what_steps_there_are_are_left_out_of_keys() -> None:
    left_out = {part.__name__: set(part.unkeyed) for part in PARTS if part.unkeyed}
    assert left_out == {
        "DistillPart": {"assistants", "checkpoint_s", "least_sure", "panel"},
        "PuzzlePart": {"enabled"},
        "SearchPart": {"start"},
        "ShrinkPart": {"farthest"},
        "Target": {"name", "summary", "schema_version", "sources"},
    }


def test_key_of_a_step_is_that_of_what_went_in(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path)
    one, two = workdir.step("a", {"x": 1}), workdir.step("a", {"x": 2})
    assert keyed(one) != keyed(two)
    assert keyed(one) == keyed(workdir.step("a", {"x": 1}))


def test_set_without_its_evaluate_split_does_not_depend_on_it() -> None:
    one = data(0)
    two = dataclasses.replace(one, evaluate=SPLIT, digest="of another evaluate split")
    assert shown(one) != shown(two)
    assert shown(one.blind()) == shown(two.blind())
    assert len(one.blind().evaluate) == 0
    assert shown(case(data=one).blind()) == shown(case(data=two).blind())
