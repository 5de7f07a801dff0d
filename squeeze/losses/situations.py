"""Which loss for which situation, and why: what 'auto' takes, and what to try beside it.

By what the papers of the losses report, and where `measured` says so by trainings of ours, whose numbers are in
benchmarks/results/losses.json and told in docs/losses.md.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Situation:
    """`loss`: a value of `distill.loss` as a recipe has it, in TOML; `others`, `avoid`: names of losses. `measured`:
    what our own trainings say of it; empty where nothing was measured."""

    when: str
    loss: str
    others: tuple[str, ...]
    avoid: tuple[str, ...]
    why: str
    measured: str = ""


SITUATIONS = (
    Situation(
        "classes, and nothing else is known",
        '"auto"',
        ("dkd", "nkd"),
        (),
        "'kd': softened probabilities are hard to beat, and no weight needs tuning",
        "none of nine others was better than chance allows",
    ),
    Situation(
        "one yes-or-no, or several labels at once",
        '"auto"',
        (),
        ("kd",),
        "'bce': each output is right or wrong for itself",
    ),
    Situation(
        "values, regression",
        '"auto"',
        (),
        ("kd",),
        "'mse': what counts is the number, learned on a scale of 1",
    ),
    Situation(
        "embeddings",
        '"auto"',
        ("rkd", "pkt"),
        ("kd",),
        "'cosine': compared by angle, so direction comes first; relations between samples may be added",
    ),
    Situation(
        "a class for each place, segmentation",
        '"auto"',
        ("bpkd", "cwd"),
        ("mse",),
        "'pixel_kd': probabilities at each place; edges apart ('bpkd') or where each class is ('cwd') beside it",
    ),
    Situation(
        "teacher and student of the same kind",
        "{kd = 1.0, nd = 1.0}",
        ("dkd", "nkd", "crd"),
        ("fitnet",),
        "embeddings that point where the class does go well beside probabilities; features alone do not",
    ),
    Situation(
        "teacher and student of different kinds",
        '"dist"',
        ("ofa", "pld"),
        ("at", "fitnet", "rkd"),
        "feature maps of other architectures mean other things; what is said of classes does not",
        "as good as 'kd', not better",
    ),
    Situation(
        "teacher much larger or stronger than the student",
        '"dist"',
        ("pld", "taid"),
        ("kd",),
        "a small student can keep the order of classes where it cannot match probabilities",
    ),
    Situation(
        "nothing is to be tuned",
        "{pld = {temperature = 1.0}}",
        (),
        (),
        "one term without a weight: the cross-entropy is its first place",
        "no better than 'kd', whose weight needs no tuning either",
    ),
    Situation(
        "two to four classes",
        "{kd = 1.0, sinkd = {weight = 0.8, temperature = 2.0}}",
        ("lelp",),
        (),
        "few classes say little: the batch together, or kinds within a class, say more",
    ),
    Situation(
        "data without labels, much of it",
        '"auto"',
        ("ssld", "meal"),
        ("dkd", "nkd", "pld", "uskd"),
        "the teacher's probabilities alone; others want to know the right class. 'ssld' is for hundreds of epochs",
        "'ssld' is far behind 'kd' in a short training",
    ),
    Situation(
        "labels or answers that are wrong now and then",
        "{tgeo = {temperature = 1.5}}",
        ("bdkd",),
        (),
        "a controller learns for each sample how far to believe teacher and label",
    ),
    Situation(
        "a teacher that is hardly better than the student",
        '"pskd"',
        ("uskd",),
        (),
        "the student's own past, or its second thoughts, soften labels as a teacher would",
    ),
)
