"""A profile as a baseline for CI: saved once, checked at every change; worse beyond the noise is an error.

Counts (cycles, traffic, memory, bytes) are exact: one more is worse. What is measured is held to the spread of its own
rounds, as a multiple of a yardstick that took turns with the model; another machine is another baseline.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from squeeze.errors import ConfigError
from squeeze.workdir import write_atomic

Json = dict[str, Any]  # Any: JSON

SCHEMA = 1
# Of a row, counts that a change may not raise.
COUNTS = ("cycles", "ram_bytes", "persistent_bytes", "flash_bytes", "file_bytes")


def save_baseline(path: Path, found: Json) -> None:
    """Writes what `across` found, with `yardstick`. Raises ConfigError where the file cannot be written."""
    try:
        write_atomic(path, json.dumps(baseline_of(found), indent=1).encode())
    except OSError as e:
        raise ConfigError(f"--save-baseline: {path}: cannot be written: {e.strerror}") from e


def baseline_of(found: Json) -> Json:
    """What of a profile is kept: by target, counts and the share of the yardstick."""
    rows = {}
    for row in found["targets"]:
        kept: Json = {"fits": row["fits"], "source": row["source"], "runtime": row.get("runtime")}
        kept |= {name: row[name] for name in COUNTS if row.get(name) is not None}
        if row.get("traffic_bytes"):
            kept["traffic_bytes"] = sum(row["traffic_bytes"].values())
        if share := row.get("yardstick"):
            kept["times_yardstick"] = share
        rows[row["target"]] = kept
    return {"schema": SCHEMA, "model": found["model"], "host": found["host"], "targets": rows}


def worse_than(path: Path, found: Json) -> list[str]:
    """What became worse since the baseline was saved, in words; empty for nothing.

    Raises ConfigError for a file that is no baseline, that lacks a target, or is of another machine while something is
    measured.
    """
    saved, now = _read(path), baseline_of(found)
    worse = []
    for target, row in now["targets"].items():
        before = saved["targets"].get(target)
        if before is None:
            raise ConfigError(
                f"--check-baseline: {path} has no target '{target}'; it has {', '.join(saved['targets'])}. Save it anew"
            )
        if before["fits"] and not row["fits"]:
            worse.append(f"{target}: it does not run there any more")
            continue
        for name in (*COUNTS, "traffic_bytes"):
            if name in before and name in row and row[name] > before[name]:
                what = name.replace("_", " ")
                worse.append(f"{target}: {what} {before[name]:,} -> {row[name]:,}")
        if "times_yardstick" in row and "times_yardstick" in before:
            if saved["host"] != now["host"]:
                raise ConfigError(
                    f"--check-baseline: {path} was measured on {saved['host']}, this is {now['host']}; save one here"
                )
            worse += _slower(target, before["times_yardstick"], row["times_yardstick"])
    return worse


def unlike(path: Path, found: Json) -> list[str]:
    """In what else the baseline is of something else, in words: a model with another file name, targets that were not
    asked now. Neither is worse, and both may be a mistake. Raises ConfigError as `worse_than`."""
    saved, now = _read(path), baseline_of(found)
    before, after = (Path(str(one["model"])).name for one in (saved, now))
    said = []
    if before != after:
        said.append(f"{path} is of {before}, and was held against {after}")
    if left := [target for target in saved["targets"] if target not in now["targets"]]:
        said.append(f"{path} has more targets, which were not checked: {', '.join(left)}")
    return said


def _slower(target: str, before: Json, now: Json) -> list[str]:
    """Slower when even the fast rounds of now are slower than the slow ones of then."""
    if now["p10"] <= before["p90"]:
        return []
    change = 100 * (now["median"] / before["median"] - 1)
    return [
        f"{target}: {change:+.0f} % time against the yardstick ({before['median']:.2f} -> {now['median']:.2f}, "
        f"rounds then up to {before['p90']:.2f}, now from {now['p10']:.2f})"
    ]


def _read(path: Path) -> Json:
    try:
        saved = json.loads(path.read_bytes())
        if saved["schema"] != SCHEMA or not isinstance(saved["targets"], dict):
            raise ValueError("of another version")
        saved["host"], saved["model"]
    except OSError as e:
        raise ConfigError(f"--check-baseline: {path}: cannot be read: {e.strerror}") from e
    except (ValueError, KeyError, TypeError) as e:
        raise ConfigError(
            f"--check-baseline: {path}: no baseline of this version of squeeze; write one with --save-baseline"
        ) from e
    found: Json = saved
    return found
