"""Looking at models and packages without compiling: profile and inspect, for anything that squeeze can read."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import account, artifact, measure
from squeeze.errors import ConfigError
from squeeze.spec import load_target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Json = dict[str, Any]  # Any: JSON


def profile_model(
    model: str | Path,
    *,
    target: str = "host",
    against: str | Path | None = None,
    runs: int = 200,
    threads: int | None = None,
    shape: Sequence[int] | None = None,
) -> Json:
    """Latency (p50, p90, p99), share of time by op, peak memory, bytes and MACs of a package, .onnx or .pt2.

    `against` is timed interleaved with `model`, so that the ratio holds on a noisy machine. `shape` (batch included) is
    for models whose input sizes may vary.
    Raises ConfigError for what cannot be read, MeasureError for what does not run.
    """
    used = threads or load_target(target).threads
    with runnable(model) as first, runnable(against or model) as second:
        other = second if against is not None else None
        found = measure.profile(first, threads=used, runs=runs, against=other, shape=shape)
    found["model"] = str(model)
    found["target"] = target
    if against is not None:
        found["against"]["model"] = str(against)
    return found


def inspect_model(model: str | Path) -> Json:
    """What a package says of itself, or what a model file holds; nothing is run."""
    path = Path(model)
    if (path / artifact.MANIFEST).exists():
        return {"kind": "package", **artifact.open(path).manifest}
    with runnable(model) as file:
        return {"kind": "model", "model": str(model), **account.summary(file)}


@contextmanager
def runnable(model: str | Path) -> Iterator[Path]:
    """The .onnx file behind a package folder, an .onnx file or a .pt2 archive."""
    path = Path(model)
    if path.is_dir():
        yield artifact.open(path).model
        return
    if not path.is_file():
        raise ConfigError(
            f"{path}: no such file; a package folder, an .onnx or a .pt2 file is wanted"
        )
    from squeeze import teacher

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if path.suffix == ".onnx":
            yield teacher.self_contained(path, folder)
        else:
            yield teacher.load(str(path), weights=None, example=None, folder=folder).model
