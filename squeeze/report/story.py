"""What happened and how to do it again: the checks of the goal, the log of steps, data, versions, digests."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from squeeze.note import NOTHING
from squeeze.quantities import show_seconds
from squeeze.report import judged, words

Json = dict[str, Any]  # Any: JSON
Pairs = list[tuple[str, str]]

_CHECKS: dict[str, tuple[str, Callable[[float], str]]] = {
    "bits": ("most weights", lambda v: f"{v:g} bits"),
    "bytes": ("file", words.byte_size),
    "flash_bytes": ("flash", words.byte_size),
    "class_drop": ("recall lost by the worst class", lambda v: f"{v:.2f} points"),
    "drop": ("loss against the teacher", lambda v: f"{v:.2f} points"),
    "latency_ms": ("latency p50", words.latency),
    "ram_bytes": ("peak memory", words.byte_size),
}


@dataclass(frozen=True)
class Tried:
    """Something that was tried within a step."""

    name: str
    kept: bool
    why: str
    numbers: str


@dataclass(frozen=True)
class Step:
    """One step of the compile."""

    name: str
    status: str
    summary: str
    seconds: str
    tried: list[Tried]


def sentence(manifest: Json) -> str:
    """The verdict's, without the words that stand before it on the page."""
    return str((manifest.get("verdict") or {}).get("sentence") or "").removeprefix("goal missed: ")


def checks(manifest: Json) -> list[Json]:
    """Each limit of the goal in words."""
    found = (manifest.get("verdict") or {}).get("checks") or []
    return [_check(c) for c in found]


def data_free(manifest: Json) -> str:
    """What must be said beside the verdict when no real data was given; empty when there was some."""
    calib = manifest.get("calib") or {}
    if calib.get("name") != "synthetic":
        return ""
    said = " ".join(str(text) for text in calib.get("assumed") or [])
    return said or "No real data was given: the accuracy on real data is unknown."


def notes(manifest: Json) -> list[str]:
    """What has to be said beside the verdict: what differs from the user's file, what was lost too early."""
    return [str(text) for text in manifest.get("notes_for_people") or []]


def steps(manifest: Json) -> list[Step]:
    """The log of steps, in order."""
    return [
        Step(
            name=str(s.get("name", "")),
            status=str(s.get("status", "")),
            summary=str(s.get("summary", "")),
            seconds=_seconds(s.get("seconds")),
            tried=[
                Tried(
                    str(t.get("name", "")),
                    bool(t.get("kept")),
                    str(t.get("why", "")),
                    # Where it is said why, the numbers are in what is said; the manifest has all digits.
                    "" if t.get("why") else words.plain(t.get("numbers") or {}),
                )
                for t in s.get("tried") or []
                if not _says_nothing(t, str(s.get("summary", "")))
            ],
        )
        for s in manifest.get("steps") or []
    ]


def _says_nothing(tried: Json, summary: str) -> bool:
    """Whether it changed nothing, or the line of its step ends with the same words."""
    why = str(tried.get("why") or "")
    return why == NOTHING or bool(why and tried.get("kept") and summary.endswith(why))


def command(manifest: Json) -> str:
    """The command line, quoted for a shell, one option a line."""
    quoted = [shlex.quote(str(word)) for word in manifest.get("command") or []]
    return " ".join(f"\\\n  {w}" if w.startswith("-") else w for w in quoted)


def data(manifest: Json) -> Pairs:
    """What the model takes and gives, and the data it was judged on."""
    signature, calib = manifest.get("signature") or {}, manifest.get("calib") or {}
    found: Pairs = []
    for side in ("input", "output"):
        for spec in signature.get(f"{side}s") or []:
            found.append((side, _tensor(spec)))
    for name, preprocess in (signature.get("embedded") or {}).items():
        found.append((f"preprocessing of {name} inside the file", words.plain(preprocess)))
    for name, preprocess in (signature.get("preprocess") or {}).items():
        found.append((f"preprocessing of {name}", words.plain(preprocess)))
    if text := signature.get("text"):
        found.append(
            ("text", f"tokenizer.json, {text['length']} tokens of a sample when it was judged")
        )
    found += [("unlike your file", str(text)) for text in signature.get("changes") or []]
    if calib:
        found.append(("data", f"{calib.get('name', '')} ({calib.get('modality', '')})"))
    found += [
        (f"{name} split", f"{_samples(split)} samples")
        for name, split in (calib.get("splits") or {}).items()
    ]
    if names := calib.get("class_names"):
        found.append(("classes", ", ".join(f"{i}: {name}" for i, name in enumerate(names))))
    found += [("assumed", str(text)) for text in calib.get("assumed") or []]
    return found


def facts(manifest: Json) -> Pairs:
    """What a repetition needs, in short."""
    teacher = manifest.get("teacher") or {}
    recipe, target = manifest.get("recipe") or {}, manifest.get("target") or {}
    network = manifest.get("supernet") or {}
    spaces = ", ".join(network.get("spaces") or [])
    named = [
        ("teacher", f"{teacher.get('source', '')} ({teacher.get('kind', '')})" if teacher else ""),
        (
            "network of --from",
            f"{network.get('source', '')} ({spaces}), trained before; supernet.steps did not count"
            if network
            else "",
        ),
        ("architecture", _architecture(manifest)),
        ("target", f"{target.get('name', '')}: {target.get('summary', '')}" if target else ""),
        ("recipe", str(recipe.get("name", ""))),
        ("seeds", words.plain(manifest.get("seeds") or {})),
        ("machine", words.plain(manifest.get("host") or {})),
        ("squeeze", str(manifest.get("squeeze_version", ""))),
        ("date", str(manifest.get("date") or "")),
    ]
    return [(name, value) for name, value in named if value]


def settings(manifest: Json) -> Pairs:
    """The rest of it: every setting of the recipe, and the version of each library."""
    recipe, versions = manifest.get("recipe") or {}, manifest.get("versions") or {}
    found = [(f"recipe, {k}", words.plain(v)) for k, v in recipe.items() if isinstance(v, dict)]
    found += [(k, str(v)) for k, v in versions.items() if k != "squeeze"]
    return [(name, value) for name, value in found if value]


def digests(manifest: Json) -> Pairs:
    """SHA-256 of what went in and what came out."""
    found: Pairs = []
    for name in ("teacher", "supernet", "calib"):
        if digest := (manifest.get(name) or {}).get("digest"):
            found.append((name, str(digest)))
    for name, split in ((manifest.get("calib") or {}).get("splits") or {}).items():
        if isinstance(split, dict) and split.get("digest"):
            found.append((f"{name} split", str(split["digest"])))
    for name, file in (manifest.get("files") or {}).items():
        if isinstance(file, dict) and file.get("digest"):
            found.append((f"{name}, {words.byte_size(file.get('bytes'))}", str(file["digest"])))
    return found


def _architecture(manifest: Json) -> str:
    arch = manifest.get("arch") or {}
    if arch:
        return f"{arch.get('family', '')}: {words.plain(arch.get('params'))}"
    return "kept: the teacher's" if judged.keeps_architecture(manifest) else ""


def _tensor(spec: Json) -> str:
    """Name, type and sizes as the model has them; the batch by its word, where there is one."""
    sizes = [str(size) for size in spec.get("shape") or []]
    axis = spec.get("batch_axis", 0)
    if axis is not None:
        sizes.insert(axis, "batch")
    return (
        f"{spec.get('name', '')}: {spec.get('dtype', '')} {words.TIMES.join(sizes) or 'one value'}"
    )


def _check(check: Json) -> Json:
    name, show = _CHECKS.get(str(check.get("what")), (str(check.get("what")), words.plain))
    return {
        "name": name,
        "goal": show(check["goal"]) if check.get("goal") is not None else words.MISSING,
        "got": show(check["got"]) if check.get("got") is not None else words.MISSING,
        "ok": bool(check.get("ok")),
    }


def _samples(split: object) -> str:
    return words.plain(split.get("samples") if isinstance(split, dict) else split)


def _seconds(seconds: float | None) -> str:
    """Nothing for a step that took no time, as one that was skipped or reused."""
    if seconds is None or seconds < 0.05:
        return ""
    return f"{seconds:.1f} s" if seconds < 60 else f"{show_seconds(seconds)} min"
