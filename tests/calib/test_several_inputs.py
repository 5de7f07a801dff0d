"""Sets for models with several inputs: arrays called after them, or named by a TOML; each input is fitted by itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from squeeze import calib
from squeeze.calib import Calib, Preprocess
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.interface import Interface, TensorSpec
from tests.calib.interfaces import taking

Save = Callable[..., str]
RNG = np.random.default_rng(0)

IDS = RNG.integers(0, 500, (40, 6))
MASK = (RNG.random((40, 6)) > 0.3).astype(np.int64)
LABELS = np.arange(40) % 4
NAMES = ("input_ids", "attention_mask")
ENCODER = Interface(
    tuple(TensorSpec(name, "int64", (6,)) for name in NAMES),
    (TensorSpec("logits", "float32", (4,)),),
)


def together(found: Calib) -> np.ndarray:
    """All samples of all splits, ids beside mask: [n, 12]."""
    return np.concatenate(
        [np.hstack([np.asarray(s.arrays[n][:]) for n in NAMES]) for s in found.splits.values()]
    )


def test_npz_with_an_array_called_after_each_input(save: Save) -> None:
    path = save("d.npz", attention_mask=MASK, labels=LABELS, input_ids=IDS)
    found = calib.load(path, inputs=NAMES)
    assert [len(s) for s in found.splits.values()] == [28, 4, 8]
    assert (found.modality, found.metric, found.classes, found.assumed) == ("tokens", "top1", 4, ())
    rows = {tuple(row): int(y) for row, y in zip(np.hstack([IDS, MASK]), LABELS, strict=True)}
    assert {tuple(row) for row in together(found)} == set(rows)
    # Ids, mask and label of a sample stay together.
    fitted = found.fitted(ENCODER)
    feed = fitted.feed(fitted.evaluate)
    assert list(feed) == list(NAMES)
    assert fitted.evaluate.y is not None
    for ids, mask, y in zip(*feed.values(), fitted.evaluate.y, strict=True):
        assert rows[(*ids, *mask)] == y


@pytest.mark.parametrize(
    ("form", "calibrating", "judging"),
    [
        ("{}_{}", "val", "test"),
        ("{1}_{0}", "valid", "Test"),
        ("{}_{}", "calibrate", "evaluate"),
    ],
    ids=["behind", "before", "own-words"],
)
def test_inputs_have_splits_of_their_own(
    save: Save, form: str, calibrating: str, judging: str
) -> None:
    parts = {"": slice(0, 20), calibrating: slice(20, 30), judging: slice(30, 40)}
    arrays = {
        (form.format(name, word) if word else name): values[part]
        for word, part in parts.items()
        for name, values in zip((*NAMES, "y"), (IDS, MASK, LABELS), strict=True)
    }
    found = calib.load(save("d.npz", **arrays), inputs=NAMES)
    for split, part in zip(found.splits.values(), parts.values(), strict=True):
        np.testing.assert_array_equal(split.arrays["input_ids"][:], IDS[part])
        np.testing.assert_array_equal(split.arrays["attention_mask"][:], MASK[part])
        np.testing.assert_array_equal(split.y, LABELS[part])


def test_input_with_the_name_of_labels_or_of_a_split_is_an_input(save: Save) -> None:
    names = ("y", "test_x")
    found = calib.load(save("d.npz", y=IDS, test_x=MASK, label=LABELS), inputs=names)
    assert set(found.fit.arrays) == set(names)
    assert found.classes == 4


def test_one_input_may_be_called_by_its_name_too(save: Save) -> None:
    found = calib.load(save("d.npz", frames=IDS, y=LABELS), inputs=("frames",))
    assert (list(found.fit.arrays), found.classes) == (["frames"], 4)
    by_table = calib.load(save("e.npz", x=IDS, y=LABELS), inputs=("frames",))
    assert by_table.fit.digest == found.fit.digest
    labels = calib.load(save("f.npz", x=IDS, y=LABELS), inputs=("y",))
    np.testing.assert_array_equal(np.sort(labels.fit.y), np.sort(found.fit.y))
    fitted = by_table.fitted(Interface((TensorSpec("frames", "int64", (6,)),), ENCODER.outputs))
    assert list(fitted.feed(fitted.fit, 0, 2)) == ["frames"]
    np.testing.assert_array_equal(fitted.inputs(fitted.fit), fitted.fit.x)


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        (
            {"input_ids": IDS, "y": LABELS},
            "no array for input 'attention_mask'; there are: input_ids",
        ),
        (
            {"input_ids": IDS, "attention_mask": MASK[:39]},
            "'attention_mask' has 39 samples, 'input_ids' has 40",
        ),
        (
            {"input_ids": IDS, "attention_mask": MASK, "input_ids_test": IDS},
            "no array for input 'attention_mask' beside 'input_ids_test'",
        ),
        (
            {"x": IDS},
            "the model has inputs input_ids, attention_mask, and no array is called after one",
        ),
        (
            {"input_ids": IDS, "input_ids_train": IDS, "attention_mask": MASK},
            "'input_ids' and 'input_ids_train' both look like the samples of one split",
        ),
        (
            {"input_ids": IDS, "attention_mask": MASK, "y": LABELS[:7]},
            "arrays 'input_ids', 'attention_mask' and 'y': labels: 7 labels for 40 samples",
        ),
        (
            {
                "input_ids": IDS,
                "attention_mask": MASK,
                "input_ids_test": IDS,
                "attention_mask_test": MASK.astype(np.int8),
            },
            "samples int8 [6], but",
        ),
    ],
    ids=["missing", "counts", "split", "none", "doubled", "labels", "types"],
)
def test_npz_is_refused_when(save: Save, arrays: dict[str, np.ndarray], wanted: str) -> None:
    path = save("d.npz", **arrays)
    with pytest.raises(ConfigError) as e:
        calib.load(path, inputs=NAMES)
    assert wanted in str(e.value)
    assert str(e.value).startswith(path)
    assert len(str(e.value).splitlines()) == 1


def test_arrays_of_no_input_are_said(save: Save) -> None:
    found = calib.load(
        save("d.npz", input_ids=IDS, attention_mask=MASK, token_types=MASK), inputs=NAMES
    )
    assert found.assumed == ("these arrays are not wanted: token_types",)


def test_digest_covers_all_arrays_with_their_names(save: Save) -> None:
    found = calib.load(save("d.npz", input_ids=IDS, attention_mask=MASK), inputs=NAMES)
    swapped = calib.load(save("e.npz", input_ids=MASK, attention_mask=IDS), inputs=NAMES)
    assert swapped.digest != found.digest
    part = found.evaluate
    sha = hashlib.sha256()
    for name in ("attention_mask", "input_ids"):  # by name, whatever the order in the file
        sha.update(f"input {name!r} <i8 (8, 6)".encode() + np.asarray(part.arrays[name]).tobytes())
    assert part.digest == sha.hexdigest()


def test_each_input_is_fitted_by_itself(save: Save) -> None:
    pixels = RNG.integers(0, 256, (30, 5, 5, 3), dtype=np.uint8)
    numbers = RNG.normal(size=(30, 1, 2))
    found = calib.load(save("d.npz", image=pixels, numbers=numbers), inputs=("numbers", "image"))
    assert found.modality == "mixed"
    model = Interface(
        (TensorSpec("image", "float16", (3, 5, 5)), TensorSpec("numbers", "float64", (2,))), ()
    )
    fitted = found.fitted(model)
    assert fitted.modality == "mixed"
    assert [a.split(":")[0] for a in fitted.assumed] == ["scale 1/255, mean 0, std 1"]
    feed = fitted.feed(fitted.fit)
    assert list(feed) == ["image", "numbers"]
    stored = fitted.fit.arrays
    by_hand = (np.asarray(stored["image"]) / 255).transpose(0, 3, 1, 2)
    assert feed["image"].dtype == np.float16
    np.testing.assert_allclose(feed["image"], by_hand, atol=5e-4)
    np.testing.assert_array_equal(feed["numbers"], np.asarray(stored["numbers"])[:, 0])
    with pytest.raises(
        ConfigError, match=r"d.npz: input 'numbers': samples float64 \[1, 2\] do not"
    ):
        found.fitted(Interface((model.inputs[0], TensorSpec("numbers", "float64", (3,))), ()))


def test_feeds_take_and_passes_are_the_same_samples(save: Save) -> None:
    found = calib.load(save("d.npz", input_ids=IDS, attention_mask=MASK), inputs=NAMES)
    data = found.fitted(ENCODER)
    whole = data.feed(data.fit)
    for name in NAMES:
        batches = [feed[name] for feed in data.feeds(data.fit, 10)]
        assert [len(b) for b in batches] == [10, 10, 8]
        np.testing.assert_array_equal(np.concatenate(batches), whole[name])
        picked = [5, 0, 27]
        np.testing.assert_array_equal(data.take(data.fit, picked)[name], whole[name][picked])
        passes = data.passes(ENCODER, data.fit, picked, 2)
        for _ in range(2):
            again = [feed[name] for feed in passes()]
            assert [len(b) for b in again] == [2, 1]
            np.testing.assert_array_equal(np.concatenate(again), whole[name][picked])
    with pytest.raises(UnsupportedError, match="has inputs input_ids, attention_mask"):
        data.inputs(data.fit)
    with pytest.raises(UnsupportedError, match="one input"):
        _ = data.fit.x


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (
            taking(6, dtype="int64"),
            "has samples for inputs attention_mask, input_ids, the model takes input",
        ),
        (
            Interface((*ENCODER.inputs, TensorSpec("types", "int64", (6,))), ENCODER.outputs),
            "types int64 [n, 6]; give one array for each",
        ),
    ],
    ids=["one", "more"],
)
def test_model_with_other_inputs_is_refused(save: Save, model: Interface, wanted: str) -> None:
    found = calib.load(
        save("d.npz", attention_mask=MASK, input_ids=IDS), inputs=("attention_mask", "input_ids")
    )
    with pytest.raises(ConfigError) as e:
        found.fitted(model)
    assert wanted in str(e.value)


def test_set_of_one_input_is_refused_by_a_model_of_two(save: Save) -> None:
    with pytest.raises(ConfigError, match="has samples for one input, the model takes input_ids"):
        calib.load(save("d.npy", whole=IDS)).fitted(ENCODER)


TOML = """
schema = 1
name = "reviews"
data = "d.npz"
metric = "auc@logits"

[arrays]
y = "stars"
y_evaluate = "stars_2024"

[arrays.inputs]
input_ids = "words"
attention_mask = "present"

[arrays.inputs_evaluate]
input_ids = "words_2024"
attention_mask = "present_2024"
"""


@pytest.fixture
def reviews(save: Save, tmp_path: Path) -> Callable[[str], str]:
    """reviews(text) makes a TOML beside its arrays, and gives its path."""
    arrays = {"words": IDS, "present": MASK, "stars": LABELS}
    save(
        "d.npz",
        **{n: v[:30] for n, v in arrays.items()},
        **{f"{n}_2024": v[30:] for n, v in arrays.items()},
    )

    def write(text: str) -> str:
        (tmp_path / "d.toml").write_text(text)
        return str(tmp_path / "d.toml")

    return write


@pytest.mark.parametrize("inputs", [None, NAMES, NAMES[::-1]], ids=["unknown", "known", "turned"])
def test_toml_names_the_arrays_of_inputs(
    reviews: Callable[[str], str], inputs: tuple[str, ...] | None
) -> None:
    found = calib.load(reviews(TOML), inputs=inputs)
    assert (found.metric, found.output, found.assumed[1:]) == ("auc", "logits", ())
    np.testing.assert_array_equal(found.evaluate.arrays["input_ids"], IDS[30:])
    np.testing.assert_array_equal(found.evaluate.arrays["attention_mask"], MASK[30:])
    np.testing.assert_array_equal(found.evaluate.y, LABELS[30:])
    assert found.fitted(ENCODER).output == "logits"


def test_toml_says_how_each_input_is_preprocessed(reviews: Callable[[str], str]) -> None:
    text = f"{TOML}\n[preprocess.attention_mask]\nmean = 0.5\nstd = 0.5\n"
    found = calib.load(reviews(text), inputs=NAMES)
    assert found.preprocesses["input_ids"] == Preprocess()
    ids, _ = ENCODER.inputs
    fitted = found.fitted(
        Interface((ids, TensorSpec("attention_mask", "float32", (6,))), ENCODER.outputs)
    )
    np.testing.assert_array_equal(
        fitted.feed(fitted.evaluate)["attention_mask"], MASK[30:].astype(np.float32) * 2 - 1
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            TOML.replace("input_ids = ", "input_id = "),
            "arrays.inputs: input of the model: unknown 'input_id'. Did you mean 'input_ids'?",
        ),
        (
            TOML.replace('"words"', '"word"'),
            "arrays.inputs.input_ids: no array 'word'; there are: words",
        ),
        (TOML.replace('attention_mask = "present"\n', ""), "must name the same inputs as inputs"),
        (
            TOML.replace('y = "stars"', 'x = "words"'),
            "x for a model with one input, or inputs, not both",
        ),
        (
            TOML.replace('input_ids = "words"', "input_ids = 3"),
            "arrays.inputs.input_ids: Input should be a valid",
        ),
        (
            f"{TOML}[preprocess]\nscale = 2",
            "preprocess: there are inputs input_ids, attention_mask; say for each",
        ),
        (f"{TOML}[preprocess.ids]\nscale = 2", "preprocess: input: unknown 'ids'"),
        (
            f'{TOML}[preprocess.input_ids]\nlayuot = "as-is"',
            "preprocess.input_ids: key layuot: unknown",
        ),
        (
            f"{TOML}[preprocess]\nscale = 2\n[preprocess.input_ids]\nscale = 3",
            "preprocess.scale: stands beside [preprocess.input_ids]",
        ),
        (TOML.replace("auc@logits", "auk@logits"), "metric: unknown 'auk'. Did you mean 'auc'?"),
        (TOML.replace("[arrays.inputs]", "[arrays.input]"), "unknown 'input'"),
    ],
    ids=lambda v: v.splitlines()[-1] if v.count("\n") > 2 else v[:20],
)
def test_toml_is_refused_when(reviews: Callable[[str], str], text: str, wanted: str) -> None:
    with pytest.raises(ConfigError) as e:
        calib.load(reviews(text), inputs=NAMES)
    assert wanted in str(e.value)
    assert "d.toml" in str(e.value)
    assert len(str(e.value).splitlines()) == 1


def test_toml_of_one_input_may_call_it_by_its_name(reviews: Callable[[str], str]) -> None:
    text = 'schema = 1\nname = "d"\ndata = "d.npz"\n[arrays.inputs]\nframes = "words"\n[preprocess.frames]\nscale = 2'
    for inputs in (None, ("frames",)):
        found = calib.load(reviews(text), inputs=inputs)
        fitted = found.fitted(Interface((TensorSpec("frames", "float32", (6,)),), ENCODER.outputs))
        np.testing.assert_array_equal(fitted.inputs(fitted.fit), 2 * np.asarray(fitted.fit.x))


def test_describe_shows_every_input(save: Save) -> None:
    found = calib.load(save("d.npz", input_ids=IDS, attention_mask=MASK, y=LABELS), inputs=NAMES)
    shown = calib.describe(found)
    assert json.loads(json.dumps(shown)) == shown
    assert set(shown["inputs"]) == set(NAMES)
    assert shown["inputs"]["attention_mask"]["samples"] == {
        "shape": [6],
        "dtype": "int64",
        "min": 0.0,
        "max": 1.0,
    }
    assert shown["inputs"]["input_ids"]["preprocess"]["layout"] == "auto"
    assert "samples" not in shown


def test_arrays_by_input_make_a_set(save: Save) -> None:
    feed = {"a": RNG.normal(size=(4, 3)), "b": np.ones((4, 2), bool)}
    found = calib.from_arrays("own", fit=feed, calibrate=feed, evaluate=feed, modality="mixed")
    model = Interface((TensorSpec("b", "bool", (2,)), TensorSpec("a", "float64", (3,))), ())
    given = found.fitted(model).feed(found.fit)
    np.testing.assert_array_equal(given["a"], feed["a"])
    assert given["b"].dtype == np.bool_
    for other in ({"a": feed["a"]}, {"a": feed["a"], "b": feed["b"][:3]}):
        with pytest.raises(ConfigError, match="alike in shape and type, and none empty"):
            calib.from_arrays("own", fit=feed, calibrate=other, evaluate=feed, modality="mixed")


def test_blind_set_has_nothing_to_be_judged_on(save: Save) -> None:
    path = save("d.npz", input_ids=IDS, attention_mask=MASK, y=LABELS)
    data = calib.load(path, inputs=NAMES).fitted(ENCODER)
    blind = data.blind()
    assert (len(blind.evaluate), blind.evaluate.y, list(blind.feeds(blind.evaluate, 4))) == (
        0,
        None,
        [],
    )
    assert (blind.fit, blind.calibrate) == (data.fit, data.calibrate)
    # Other samples to judge on do not move its key.
    changed = IDS.copy()
    changed[36:] += 1
    parts = {"input_ids": IDS[:36], "attention_mask": MASK[:36], "attention_mask_test": MASK[36:]}
    keys = [
        calib.load(save(f"{i}.npz", **parts, input_ids_test=ids[36:]), inputs=NAMES).fitted(ENCODER)
        for i, ids in enumerate((IDS, changed))
    ]
    assert keys[0].key() != keys[1].key()
    assert keys[0].blind().key() == keys[1].blind().key()
