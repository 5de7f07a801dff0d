"""What an output is taken for, and how it is judged then."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.interface import Interface, TensorSpec
from squeeze.metrics import Reading, readings
from squeeze.metrics.infer import unlabelled_metrics
from squeeze.metrics.kinds import Kind, kind_of

RNG = np.random.default_rng(0)
TIME = np.arange(8000) / 8000


def softmax(scores: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def detector() -> np.ndarray:
    """[8, 4 + 3, 200]: boxes with a few sure ones."""
    boxes = RNG.uniform(10, 600, (8, 4, 200))
    scores = RNG.uniform(0, 0.02, (8, 3, 200))
    scores[:, 1, :4] = 0.9
    return np.concatenate([boxes, scores], axis=1)


def waves() -> np.ndarray:
    tones = [np.sin(2 * np.pi * f * TIME + f) for f in (100, 230, 310, 440, 520, 700)]
    return np.stack(tones) + 0.1 * RNG.normal(size=(6, 8000))


def text() -> np.ndarray:
    """[5, 20, 7]: mostly the blank, class 6."""
    scores = RNG.normal(size=(5, 20, 7))
    scores[..., 6] += 4
    scores[:, ::5, 2] += 9
    return scores


LOGITS = RNG.normal(size=(40, 10))


@pytest.mark.parametrize(
    ("outputs", "kind"),
    [
        (LOGITS, "classes"),
        (softmax(LOGITS, 1), "classes"),
        (LOGITS.argmax(axis=1), "answers"),
        (RNG.uniform(size=(40, 1)), "classes"),
        (LOGITS[:, :1], "number"),
        (RNG.uniform(size=(40, 10)), "yes-no"),
        (LOGITS + 50 * np.eye(10)[0], "values"),
        (LOGITS / np.linalg.norm(LOGITS, axis=1, keepdims=True), "embedding"),
        (RNG.normal(size=(40, 128, 1, 1)), "embedding"),
        (RNG.normal(size=(40, 100)), "classes"),
        (waves(), "audio"),
        (waves()[:, None], "audio"),
        (RNG.normal(size=(6, 8000)), "embedding"),
        (detector(), "boxes"),
        (np.concatenate([detector()[:, :4], RNG.uniform(size=(8, 3, 200))], axis=1), "values"),
        (softmax(RNG.normal(size=(4, 5, 8, 8)), 1), "areas"),
        (RNG.normal(size=(4, 5, 8, 8)), "values"),
        ((RNG.normal(size=(4, 1, 8, 8)) > 1) * 0.98 + 0.01, "areas"),
        (RNG.uniform(size=(4, 1, 8, 8)), "values"),
        (softmax(text(), 2), "text"),
        (np.log(softmax(text(), 2)), "text"),
        (text(), "values"),
        (softmax(RNG.normal(size=(5, 20, 7)), 2), "values"),
    ],
    ids=[
        "logits",
        "softmax",
        "integers",
        "probability",
        "number",
        "tags",
        "one-class",
        "unit",
        "wide",
        "hundred",
        "waves",
        "waves-channel",
        "noise",
        "detector",
        "untrained-detector",
        "segmentation",
        "maps",
        "mask",
        "depth",
        "ctc",
        "ctc-logarithms",
        "ctc-logits",
        "no-blank",
    ],
)
def test_kind_of_an_output_is_told_from_its_values(outputs: np.ndarray, kind: Kind) -> None:
    assert kind_of(outputs) == kind
    assert kind_of(np.asarray(outputs, np.float32 if outputs.dtype.kind == "f" else None)) == kind


@pytest.mark.parametrize(
    ("name", "width", "kind"),
    [
        ("embedding", 10, "embedding"),
        ("class_logits", 128, "classes"),
        ("landmarks", 10, "values"),
        ("output", 10, "classes"),
    ],
)
def test_name_of_an_output_counts(name: str, width: int, kind: Kind) -> None:
    assert kind_of(RNG.normal(size=(40, width)), name) == kind


def test_output_of_the_shape_of_an_input_is_a_reconstruction() -> None:
    assert kind_of(RNG.normal(size=(9, 30)), "y", [(30,)]) == "reconstruction"
    assert kind_of(RNG.normal(size=(9, 48)), "y", [(2,), (3, 4, 4)]) == "reconstruction"
    # Four features and four classes are nothing strange.
    assert kind_of(RNG.normal(size=(9, 4)), "y", [(4,)]) == "classes"
    mask = (RNG.normal(size=(4, 1, 8, 8)) > 1) * 0.98 + 0.01
    assert kind_of(mask, "y", [(1, 8, 8)]) == "values"
    assert kind_of(mask, "y", [(3, 8, 8)]) == "areas"


def test_each_output_of_a_detector_is_judged_by_what_it_is() -> None:
    found = detector()
    outputs = {
        "loc": np.swapaxes(found[:, :4], 1, 2),
        "conf": np.swapaxes(found[:, 4:], 1, 2),
        "points": RNG.normal(size=(8, 200, 10)),
        "embedding": RNG.normal(size=(8, 12)),
    }
    specs = [TensorSpec(n, "float64", x.shape[1:]) for n, x in outputs.items()]
    interface = Interface((TensorSpec("x", "float32", (3, 8, 8)),), tuple(specs))
    assert readings(interface, None, outputs) == (
        Reading("loc", "f1_boxes", ("conf",)),
        Reading("points", "channel_error"),
        Reading("embedding", "cosine"),
        Reading("embedding", "neighbours"),
    )
    named = readings(interface, None, outputs, "f1_boxes@loc")
    assert named == (Reading("loc", "f1_boxes", ("conf",)),)
    # Offsets to anchors, which may be negative, are no boxes.
    outputs["loc"] = RNG.normal(size=(8, 200, 4))
    assert readings(interface, None, outputs)[:2] == (
        Reading("loc", "channel_error"),
        Reading("conf", "channel_error"),
    )


def test_one_probability_that_never_says_yes_is_judged_by_its_value() -> None:
    low, both = np.linspace(0, 0.2, 40)[:, None], np.linspace(0.2, 0.9, 40)[:, None]
    assert kind_of(low) == "yes-no"
    assert kind_of(1 - low) == "yes-no"
    assert kind_of(both) == "classes"
    assert kind_of(low[:1]) == "classes"  # one sample tells nothing


@pytest.mark.parametrize("scores", [LOGITS, softmax(LOGITS, 1)], ids=["logits", "softmax"])
def test_classes_of_which_one_always_wins_are_judged_by_their_error(scores: np.ndarray) -> None:
    order = np.argsort(-scores, axis=1)
    sorted_out = np.take_along_axis(scores, order, axis=1)  # class 0 wins everywhere
    assert kind_of(scores, "logits") == "classes"
    assert kind_of(sorted_out, "logits") == "same-class"
    assert unlabelled_metrics(sorted_out, "logits") == ("error",)
    one_in_ten = np.where(np.arange(40)[:, None] % 10 == 0, sorted_out[:, ::-1], sorted_out)
    assert kind_of(one_in_ten, "logits") == "classes"
    assert kind_of(sorted_out[:19], "logits") == "classes"  # too few samples to tell
