"""One exported file on one device: all that was found of it but its latency, which is of all candidates together."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from squeeze.account.weigh import complexity
from squeeze.measure.memory import can_measure, peak_memory
from squeeze.runtimes.inference import one_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from squeeze.feed import Feed
    from squeeze.interface import Interface
    from squeeze.machine.facts import Facts
    from squeeze.spec import OutputScore

logger = logging.getLogger(__name__)
Json = dict[str, Any]  # Any: whatever JSON can hold


def measurement(
    model: Path,
    feed: Feed,
    interface: Interface,
    facts: Facts,
    *,
    outputs: Sequence[OutputScore],
    judged: int,
    n: int,
    threads: int,
) -> Json:
    """The fields of a `spec.Measurement` but those of its latency and its runs, as JSON.

    `outputs` are the scores of `n` samples, `outputs[judged]` the one that counts. Memory is measured here, on one run
    with the first sample of `feed`, in a child process with `threads` threads; bytes and MACs are counted. `facts` are
    of this machine. Raises MeasureError when the model does not run.
    """
    peak_ram_bytes = None
    if can_measure():
        feeds = one_run(feed, interface)
        peak_ram_bytes = peak_memory(model, threads=threads, feeds=feeds).peak_bytes
    else:
        logger.warning("peak memory is not measured: this system has no /proc")
    weight = complexity(model, batch_size=interface.batch_size or 1, shapes=interface.run_shapes)
    for missing in weight.unknown:  # of the model itself it was said when it was loaded
        logger.info("%s: multiply-accumulates: %s", model.name, missing)
    score = outputs[judged]
    return {
        "source": "measured",
        "metric": score.value,
        "metric_name": score.metric,
        "n": n,
        "interval": score.interval,
        "outputs": [one.model_dump(mode="json") for one in outputs],
        "threads": threads,
        "peak_ram_bytes": peak_ram_bytes,
        "file_bytes": weight.file_bytes,
        "weight_bytes": weight.weight_bytes,
        "params": weight.params,
        "macs": weight.macs,
        "host": facts.host,
        "isa": list(facts.isa),
        "runtime": facts.runtime,
        "runtime_version": facts.runtime_version,
    }
