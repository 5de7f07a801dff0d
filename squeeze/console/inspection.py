"""The screen of `squeeze inspect`: what a package says of itself, or what a model file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze.console.macs import macs_in_words
from squeeze.console.nested import show_nested
from squeeze.console.table import show_table
from squeeze.interface import TensorSpec
from squeeze.seal import TOKENIZER

if TYPE_CHECKING:
    from rich.console import Console

Json = dict[str, Any]  # Any: JSON


def show_inspection(console: Console, found: Json) -> None:
    """A package's manifest in one screen, or a model file's contents."""
    if found["kind"] == "model":
        left = found["macs_unknown"]
        told = {**found, "macs": macs_in_words(found["macs"], left)}
        del told["macs_unknown"]
        show_nested(console, told)
        return
    verdict, arch = found["verdict"], found["arch"]
    rows = [
        ("verdict", _verdict(verdict)),
        ("teacher", f"{found['teacher']['source']} · {found['teacher']['digest'][:12]}"),
        ("architecture", f"{arch['family']} {arch['params']}" if arch else "the teacher's own"),
        ("target", found["target"]["name"]),
        ("data", f"{found['calib']['name']} · {found['calib']['modality']}"),
        ("assumed", "; ".join(found["calib"]["assumed"]) or "nothing"),
        ("input", _tensors(found["signature"], "input")),
        ("output", _tensors(found["signature"], "output")),
        ("preprocess", str(found["signature"]["preprocess"])),
        *_text(found["signature"]),
        *_embedded(found["signature"]),
        *_contract(found.get("contract") or {}),
        ("measured on", f"{found['host']['cpu']} · {', '.join(found['host']['isa'])}"),
        ("artifact", found["artifact_digest"]),
    ]
    if changes := found["signature"].get("changes"):
        rows.append(("changed", "; ".join(changes)))
    if account := found.get("size"):
        stored = (
            f"{account['quantised']:,} quantised, {account['stored_bits']:.2f} bits each as stored"
        )
        left = ", ".join(account["float_weights"])
        rows.append(("weights", f"{stored}; float: {left}" if left else stored))
    if proof := found.get("cpus"):
        rows.append(("other CPUs", ", ".join(f"{c['cpu']}: {c['source']}" for c in proof["cpus"])))
    show_table(console, ("", ""), rows)
    console.print()
    steps = [(s["name"], s["status"], s["summary"]) for s in found["steps"]]
    show_table(console, ("step", "status", "what came out"), steps)


def _verdict(verdict: Json) -> str:
    # The sentence of a miss begins with these words itself.
    word = "goal met: " if verdict["met"] else "goal missed: "
    return word + str(verdict["sentence"]).removeprefix(word)


def _text(signature: Json) -> list[tuple[str, str]]:
    """How text becomes ids, of a model that reads some."""
    told = signature.get("text")
    if not told:
        return []
    pooling = f" · pooling {told['pooling']}" if told["pooling"] else ""
    return [("text", f"{TOKENIZER} {told['tokenizer'][:12]} · {told['length']} tokens{pooling}")]


def _embedded(signature: Json) -> list[tuple[str, str]]:
    """What the file does to its inputs itself."""
    known = signature.get("embedded")
    return [("inside the file", str(known))] if known else []


def _contract(said: Json) -> list[tuple[str, str]]:
    """What the file itself says beyond the rest, to an app that has nothing but it."""
    if not said:
        return []
    rows = [("classes", ", ".join(said["classes"]))] if "classes" in said else []
    rows += [("in the file", ", ".join(f"squeeze.{key}" for key in sorted(said)))]
    return [*rows, ("build", str(said["build"]))]


def _tensors(signature: Json, which: str) -> str:
    return "; ".join(str(TensorSpec.from_json(tensor)) for tensor in signature[f"{which}s"])
