"""`squeeze profile`: where the time of a model goes on a device, alone or beside another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import measure, paths
from squeeze.commands import baseline
from squeeze.commands.across import across
from squeeze.commands.runnable import runnable, shapes_of_package, taken_by
from squeeze.device import connect
from squeeze.errors import ConfigError
from squeeze.report import render_targets
from squeeze.runtimes.shapes import ANY
from squeeze.target import load_target
from squeeze.workdir import write_atomic

if TYPE_CHECKING:
    from squeeze.calib import AskedText
    from squeeze.progress import Progress

Json = dict[str, Any]  # Any: JSON


def profile_on(
    model: str | Path,
    targets: Sequence[str],
    *,
    against: str | Path | None = None,
    runs: int = 200,
    shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    calib: str | None = None,
    metric: str | None = None,
    text: AskedText | None = None,
    save_baseline: str | Path | None = None,
    check_baseline: str | Path | None = None,
    report: str | Path | None = None,
    progress: Progress | None = None,
    **host_alone: object,
) -> Json:
    """As `squeeze.commands.across.across`.

    check_baseline: "worse" says what became worse than in this file, "baseline_unlike" what else
    differs (another model, more targets); save_baseline, report: files that are written, the
    second one a page. host_alone: options that only the profile of this machine has; an error when one is given.
    """
    for name, value in host_alone.items():
        if value is not None:
            raise ConfigError(
                f"--{name}: is for --target host alone, got {', '.join(targets)}; take one of them away"
            )
    kept = save_baseline is not None or check_baseline is not None
    if metric is not None and calib is None:
        raise ConfigError("--metric: there are no data that it would be of; add --calib DATA")
    _check_text(text, calib)
    found = across(
        model,
        targets,
        against=against,
        runs=runs,
        shape=shape,
        yardstick=kept,
        calib=calib,
        metric=metric,
        text=text,
        progress=progress,
    )
    if check_baseline is not None:
        found["worse"] = baseline.worse_than(Path(check_baseline), found)
        found["baseline_unlike"] = baseline.unlike(Path(check_baseline), found)
    if save_baseline is not None:
        baseline.save_baseline(Path(save_baseline), found)
    if report is not None:
        page = Path(report)
        try:
            write_atomic(page, render_targets(found).encode())
        except OSError as e:
            raise ConfigError(f"--report: {page}: cannot be written: {e.strerror}") from e
    return found


def profile_model(
    model: str | Path,
    *,
    target: str = "host",
    against: str | Path | None = None,
    runs: int = 200,
    threads: int | None = None,
    shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    numbers: Mapping[str, float] | None = None,
    calib: str | None = None,
    metric: str | None = None,
    text: AskedText | None = None,
) -> Json:
    """Latency (p50, p90, p99), share of time by op, peak memory, bytes and MACs of a package, .onnx or .pt2.

    `against` is timed interleaved with `model`, so that the ratio holds on a noisy machine. `shape` (batch included) is
    for models whose input sizes may vary: by input, or one for all inputs with as many axes; `numbers` are of inputs
    that are filled with one, such as a rate. What nobody says is chosen, and said under "assumed".
    calib, metric, text: data, as for `squeeze.compile`, on which the answers are compared with those of `against`.
    Raises ConfigError for what cannot be read, UnsupportedError for a target that is out of reach, MeasureError for
    what does not run.
    """
    if calib is not None and against is None:
        raise ConfigError(
            "--calib: the model that the answers are compared with is not given; add --against MODEL"
        )
    _check_text(text, calib)
    shapes = dict(shape) if isinstance(shape, Mapping) else {} if shape is None else {ANY: shape}
    device = connect(load_target(target), paths.state_dir())
    models = [one for one in (model, against) if one is not None]
    usual, said = ({}, "") if shapes else shapes_of_package(models)
    with ExitStack() as opened:
        files = [
            opened.enter_context(runnable(one, shapes or taken_by(one, usual))) for one in models
        ]
        first, other = files[0], files[1] if len(files) > 1 else None
        found = measure.profile(
            first,
            facts=device.facts,
            threads=threads or device.threads,
            runs=runs,
            against=other,
            shapes=shapes,
            numbers=numbers,
            usual=usual,
        )
        found["assumed"] += [said] if said else []
        if calib is not None and other is not None:
            from squeeze.commands.likeness import likeness

            found["against"]["accuracy"] = likeness(
                first,
                other,
                calib=calib,
                metric=metric,
                text=text,
                threads=threads or device.threads,
            )
    found["model"] = str(model)
    found["target"] = target
    if against is not None:
        found["against"]["model"] = str(against)
    return found


def _check_text(text: AskedText | None, calib: str | None) -> None:
    """Raises ConfigError for options of texts where there are no data."""
    if text is not None and calib is None:
        raise ConfigError(
            "--text, --label, --tokenizer, --max-length: there are no data that they would be of; add --calib DATA"
        )
