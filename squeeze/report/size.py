"""Where the bytes of the shipped file are. What is counted in the file and what a formula says never share a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from squeeze.report import words

Json = dict[str, Any]  # Any: JSON

_NUMBER_BYTES = 4  # of a bias or a float weight


@dataclass(frozen=True)
class Part:
    """A part of the file; `share` is of the whole file, `note` small print."""

    name: str
    bytes: str
    share: str
    note: str = ""


@dataclass(frozen=True)
class Size:
    """`parts` add up to `whole`; `packed` is its size compressed; `bits` are per weight; `estimate` is of no file;
    `name` is the file's, `loaded` what the device loads instead of it."""

    parts: list[Part]
    whole: str
    packed: Part | None
    bits: list[tuple[str, str]]
    estimate: str
    float_weights: list[str]
    name: str
    loaded: str


def size(manifest: Json) -> Size | None:
    """None for a float file."""
    found = manifest.get("size") or {}
    whole = found.get("file_bytes")
    if not whole:
        return None
    loaded = _loaded(manifest)
    return Size(
        parts=_parts(found, whole),
        whole=words.byte_size(whole),
        packed=_packed(found.get("gzip_bytes"), whole),
        bits=[
            (name, f"{found[key]:.2f} bits")
            for name, key in (
                ("as stored", "stored_bits"),
                ("in a Huffman code", "mean_bits"),
                ("entropy", "entropy_bits"),
            )
            if found.get(key) is not None
        ],
        estimate=(
            words.byte_size(found["analytic_bytes"])
            if found.get("analytic_bytes") is not None
            else ""
        ),
        float_weights=[str(name) for name in found.get("float_weights") or []],
        name="model.onnx" if loaded else "the shipped file",
        loaded=loaded,
    )


def _packed(count: int | None, whole: int) -> Part | None:
    """As an archive or a web server would have it."""
    if count is None:
        return None
    note = "compressed for this table; not what is shipped"
    return Part("the file in gzip", words.byte_size(count), words.share(count / whole), note)


def _loaded(manifest: Json) -> str:
    """The files made for the device, with their sizes; empty where it loads the .onnx itself."""
    digests = manifest.get("files") or {}
    names = (manifest.get("device") or {}).get("files") or []
    return ", ".join(
        f"{name} {words.byte_size((digests.get(name) or {}).get('bytes'))}" for name in names
    )


def _parts(found: Json, whole: int) -> list[Part]:
    weights, unquantised = found.get("quantised"), found.get("unquantised")
    sizes = [
        ("quantised weights", found.get("index_bytes"), f"{words.count(weights)} of them"),
        ("codebooks", found.get("codebook_bytes"), ""),
        ("scales", found.get("scale_bytes"), ""),
        (
            "biases and other numbers",
            None if unquantised is None else _NUMBER_BYTES * unquantised,
            f"{words.count(unquantised)} of 4 bytes",
        ),
    ]
    known = [(name, count, note) for name, count, note in sizes if count is not None]
    rest = whole - sum(count for _, count, _ in known)
    if len(known) == len(sizes) and rest >= 0:
        known.append(("graph, names and all else", rest, ""))
    return [
        Part(name, words.byte_size(count), words.share(count / whole), note)
        for name, count, note in known
        if count > 0
    ]
