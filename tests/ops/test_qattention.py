"""QAttention inside ONNX Runtime: against NumPy in float64, against its body, and with broken nodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from squeeze.old_x86.emulation import saturates
from tests.ops import node_model
from tests.ops.node_model import Array, Node, build, most_steps_apart, session

ISAS = ("portable", "x86_avx2", "x86_avx512vnni")
MASKED = -1e9
f32 = np.float32


def node(
    seed: int,
    *,
    samples: int = 2,
    queries: int = 9,
    keys: int = 9,
    heads: int = 3,
    size: int = 32,
    value_size: int = 32,
    mask: Array | None = None,
    dtype: type = np.uint8,
) -> Node:
    rng = np.random.default_rng(seed)
    limits = np.iinfo(dtype)
    inputs: dict[str, Array] = {}
    shapes = {"q": (queries, size), "k": (keys, size), "v": (keys, value_size)}
    for name, (rows, numbers) in shapes.items():
        whole = (samples, rows, heads * numbers)
        inputs[name] = rng.integers(limits.min, limits.max + 1, whole).astype(dtype)
        inputs[f"{name}_scale"] = np.array(rng.uniform(0.01, 0.03), f32)
        inputs[f"{name}_zero_point"] = np.array(rng.integers(100, 150) + limits.min, dtype)
    inputs["score_scale"] = np.array(size**-0.5, f32)
    inputs["mask"] = np.zeros((), f32) if mask is None else mask
    inputs["p_scale"] = np.array(1 / 255, f32)
    inputs["p_zero_point"] = np.array(limits.min, dtype)
    inputs["y_scale"] = np.array(0.02, f32)
    inputs["y_zero_point"] = np.array(120 + limits.min, dtype)
    return Node("QAttention", inputs, ("q", "k", "v", "mask"), {"split": (0, 0, heads, -1)})


def padding(samples: int, keys: int) -> Array:
    """Each sample has other tokens that are none."""
    mask = np.zeros((samples, 1, 1, keys), f32)
    for sample in range(samples):
        mask[sample, ..., keys - sample - 1 :] = MASKED
    return mask


def causal(queries: int, keys: int) -> Array:
    return np.triu(np.full((queries, keys), MASKED, f32), keys - queries + 1)


def without_keys(queries: int, keys: int) -> Array:
    """The third query has no key, the others all but one."""
    mask = np.zeros((queries, keys), f32)
    mask[:, 4] = mask[2] = -np.inf
    return mask


def guarded(case: Node) -> Node:
    return replace(case, op_type="QAttentionGuarded")


CASES = {
    "plain": node(1),
    "padded": node(2, mask=padding(2, 9)),
    "causal": node(3, queries=20, keys=20, mask=causal(20, 20)),
    "cached": node(4, samples=1, queries=1, keys=77),
    "cross": node(5, queries=5, keys=40),
    "odd-sizes": node(6, heads=2, size=17, value_size=5, keys=33),
    "one-key": node(7, keys=1),
    "wide-heads": node(8, samples=1, heads=1, size=130, value_size=96, queries=17, keys=16),
    "s8": node(9, dtype=np.int8, mask=padding(2, 9)),
    "mask-per-query": node(10, mask=np.linspace(-2, 2, 9, dtype=f32).reshape(9, 1)),
    "mask-per-head": node(16, mask=np.linspace(-3, 3, 3 * 81, dtype=f32).reshape(1, 3, 9, 9)),
    "mask-per-head-and-sample": node(
        17, mask=np.linspace(-3, 3, 54, dtype=f32).reshape(2, 3, 1, 9)
    ),
    "all-masked": node(11, mask=np.full((1, 1, 1, 9), np.finfo(f32).min)),
    "long": node(12, samples=1, queries=300, keys=300, heads=2, mask=padding(1, 300)),
    "no-queries": node(13, queries=0),
    "guarded": guarded(node(14, mask=without_keys(9, 9))),
    "guarded-s8": guarded(node(15, dtype=np.int8, keys=20, mask=without_keys(9, 20))),
}
every_case = pytest.mark.parametrize("name", CASES)


def expected(case: Node) -> Array:
    """In float64, with probabilities as shares of the largest of their query, in steps of p_scale."""
    heads = case.attributes["split"][2]

    def real(name: str) -> Array:
        zero = case.inputs[f"{name}_zero_point"].astype(np.float64)
        found = (case.inputs[name] - zero) * case.inputs[f"{name}_scale"].astype(np.float64)
        samples, rows, width = found.shape
        return found.reshape(samples, rows, heads, width // heads).transpose(0, 2, 1, 3)

    scores = real("q") @ real("k").transpose(0, 1, 3, 2) * float(case.inputs["score_scale"])
    scores = scores + case.inputs["mask"].astype(np.float64)
    most = scores.max(axis=-1, keepdims=True)
    e = np.exp(scores - np.where(np.isinf(most), 0, most))
    step = float(case.inputs["p_scale"])
    total = np.maximum(e.sum(axis=-1, keepdims=True), 1e-300)  # 0 without keys
    p = np.rint(e / step).clip(0, 255) * step / total
    y = (p @ real("v")).transpose(0, 2, 1, 3)
    zero = case.inputs["y_zero_point"]
    limits = np.iinfo(zero.dtype)
    steps = np.rint(y / float(case.inputs["y_scale"])) + float(zero)
    whole = steps.clip(limits.min, limits.max).astype(zero.dtype)
    return whole.reshape(*whole.shape[:2], case.inputs["v"].shape[2])


@pytest.mark.parametrize("isa", ISAS)
@every_case
def test_every_isa_gives_what_float64_gives(
    library: str, name: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_ISA", isa)
    y, wanted = node_model.run_native(CASES[name]), expected(CASES[name])
    assert most_steps_apart(y, wanted) <= 1
    assert np.count_nonzero(y != wanted) <= 0.01 * y.size


@every_case
def test_every_isa_and_number_of_threads_gives_the_same_bytes(
    library: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_ISA", "portable")
    wanted = node_model.run_native(CASES[name])
    for isa in ISAS[1:]:
        monkeypatch.setenv("SQUEEZE_ISA", isa)
        for threads in (1, 2):
            y = node_model.run_native(CASES[name], threads=threads)
            np.testing.assert_array_equal(y, wanted)


@pytest.mark.parametrize("opset", [13, 18, 20])
@pytest.mark.parametrize("name", [name for name in CASES if name != "no-queries"])
def test_body_is_within_one_step(library: str, name: str, opset: int) -> None:
    case = CASES[name]
    if (
        saturates() and case.inputs["k"].dtype == np.int8
    ):  # as every int8 product of the runtime there
        case = replace(case, inputs={n: x // 2 if n in "kv" else x for n, x in case.inputs.items()})
    native = node_model.run_native(case)
    assert most_steps_apart(node_model.run_body(case, opset=opset), native) <= 1


def test_what_is_masked_counts_for_nothing(library: str) -> None:
    case = CASES["padded"]
    other = case.inputs["v"].copy()
    other[:, -1] ^= 0xFF
    y = node_model.run_native(case)
    np.testing.assert_array_equal(node_model.run_native(case.having(v=other)), y)


BROKEN: dict[str, tuple[dict[str, Array], dict[str, object], str]] = {
    "no-split": ({}, {"split": None}, "attribute split is missing"),
    "heads": (
        {},
        {"split": [0, 0, 0, -1]},
        r"attribute split is \[0, 0, 0, -1\], expected \[0, 0, heads",
    ),
    "scale": ({"score_scale": np.array(-1, f32)}, {}, "score_scale must be positive and finite"),
    "p": ({"p_zero_point": np.array(3, np.uint8)}, {}, "p_zero_point must be the least value"),
    "v-scale": ({"v_scale": np.array(np.inf, f32)}, {}, "v_scale must be positive and finite"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_node_is_refused_with_its_name_and_reason(library: str, name: str) -> None:
    inputs, attributes, message = BROKEN[name]
    broken = CASES["plain"].having(**inputs).saying(**attributes)
    with pytest.raises(Exception, match=f"QAttention 'the node': .*{message}"):
        session(build(broken, body=False), native=True)


def zeros(*shape: int) -> Array:
    return np.zeros(shape, np.uint8)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"k": zeros(2, 9, 95)}, r"\[2, 9, 96\], \[2, 9, 95\] and .* multiples of 3 heads"),
        ({"v": zeros(2, 8, 96)}, r"and \[2, 8, 96\], expected"),
        ({"q": zeros(9, 96)}, r"are \[9, 96\]"),
        ({"k": zeros(2, 0, 96), "v": zeros(2, 0, 96)}, "there are no keys"),
        ({"mask": np.zeros((1, 5, 1, 9), f32)}, r"mask is \[1, 5, 1, 9\], expected \[2 or 1, "),
        ({"mask": np.zeros((8,), f32)}, r"mask is \[8\]"),
        ({"mask": np.zeros((1, 1, 1, 1, 9), f32)}, r"mask is \[1, 1, 1, 1, 9\]"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_when_they_come(
    library: str, inputs: dict[str, Array], message: str
) -> None:
    broken = CASES["plain"].having(**inputs)
    with pytest.raises(Exception, match=f"QAttention 'the node': .*{message}"):
        session(build(broken, body=False, loose=True), native=True).run(None, broken.feeds())
