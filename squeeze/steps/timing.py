"""Latency on a device: two files against each other, remembered; all candidates of a front in the same rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze import measure
from squeeze.steps.costing import compared_there
from squeeze.steps.patience import DECIDING_SECONDS, RUNS
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.device import Device
    from squeeze.feed import Feed
    from squeeze.interface import Interface
    from squeeze.measure import Comparison

# A choice that rests on a timing needs a margin above the noise, or the same compile would choose differently.
FASTER = 0.95
# Where every round is outside of this, more of them would not change what is chosen.
UNDECIDED = (0.9, 1.0)


def compared(
    device: Device,
    model: Path,
    against: Path,
    sample: Feed,
    interface: Interface,
    *,
    native: bool = True,
    undecided: tuple[float, float] = UNDECIDED,
) -> Comparison:
    """`model` against `against` for one sample, interleaved; what was steady is remembered for this device.

    undecided: the ratios between which what is chosen is open; rounds that are all on one side of them are enough.

    On a device with a runtime of its own they are compared by that. Raises UnsupportedError for a file that does not
    run there.
    """
    key = {
        "models": [digest_file(model), digest_file(against)],
        "threads": device.threads,
        "native": native,
    }
    if device.runtime is not None:
        return device.table.compare(
            {**key, "target": device.target.key()},
            lambda: compared_there(device, model, against, sample, interface),
        )
    return device.table.compare(
        key,
        lambda: measure.compare(
            model,
            against,
            sample,
            interface,
            threads=device.threads,
            runs=RUNS,
            max_seconds=DECIDING_SECONDS,
            native=native,
            undecided=undecided,
        ),
    )
