"""The problem: a teacher, data, how outputs are judged, what the teacher says of them. Knows no device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from squeeze.metrics import per_class

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.calib import Calib, Split
    from squeeze.feed import Array
    from squeeze.interface import Interface
    from squeeze.metrics import Reading
    from squeeze.net import FloatNet
    from squeeze.teacher import Teacher

Json = dict[str, Any]  # Any: JSON
SplitName = Literal["calibrate", "evaluate"]


@dataclass(frozen=True)
class Case:
    """readings: what is read off which output; the worst drop among them is judged. answers: the folder with the
    teacher's outputs on the calibrate and the evaluate split. embeds: whether the written file does the preprocessing
    itself; nothing is made or chosen otherwise for it.

    by_heart: of each reading the teacher's value on the evaluate split where it was trained on the samples of the
    calibrate split, None where it was not. Empty where it knows none of them, and for networks with its weights, which
    know them as well as it does. by_heart_recalls: then its recall of each class there, in percent, where answers are
    classes.
    """

    teacher: Teacher
    net: FloatNet
    data: Calib
    readings: tuple[Reading, ...]
    answers: Path
    by_heart: tuple[float | None, ...] = ()
    by_heart_recalls: tuple[tuple[int, float], ...] = ()
    embeds: bool = False

    @property
    def interface(self) -> Interface:
        """What the teacher takes and gives, and everything that is made from it."""
        return self.net.interface

    def blind(self) -> Case:
        """The case as it is given to whatever makes or chooses: without the evaluate split."""
        return replace(self, data=self.data.blind())

    def judging(self, net: FloatNet) -> Case:
        """The case as it judges `net` on the calibrate split: a student never saw those samples, so what the teacher
        knows of them by heart is no loss of it."""
        if net.origin == "student":
            return self
        return replace(self, by_heart=(), by_heart_recalls=())

    def as_written(self) -> Case:
        """The same problem for the written file: with `embeds` that takes samples as they are stored."""
        if not self.embeds:
            return self
        data, interface = self.data.as_stored(self.interface)
        return replace(self, net=replace(self.net, interface=interface), data=data)

    def split(self, name: SplitName) -> Split:
        """Ranges, choices and the pick see `calibrate`; `evaluate` is only reported."""
        return self.data.calibrate if name == "calibrate" else self.data.evaluate

    def reference(self, name: SplitName) -> dict[str, Array]:
        """The teacher's outputs on a split, name -> [n, ...], read from their files as they are looked at."""
        return {
            spec.name: np.load(self.answers / f"{name}-{i}.npy", mmap_mode="r", allow_pickle=False)
            for i, spec in enumerate(self.interface.outputs)
        }

    def has_classes(self, name: SplitName) -> bool:
        """Whether the samples of a split are each answered with one class, which their labels know."""
        reading, labels = self.readings[0], self.split(name).y
        outputs = self.reference(name)[reading.output]
        return len(self.readings) == 1 and per_class.one_class_each(reading, labels, outputs)

    def key(self) -> Json:
        """The teacher's answers follow from the teacher and the data."""
        return {
            "teacher": self.teacher.digest,
            "data": self.data.key(),
            "readings": [reading.key() for reading in self.readings],
            "interface": self.interface.to_json(),
            "by_heart": list(self.by_heart),
            "by_heart_recalls": [list(one) for one in self.by_heart_recalls],
        }
