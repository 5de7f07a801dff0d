"""The bill of materials of a package, `bom.cdx.json`: a CycloneDX 1.6 ML-BOM, made from the manifest.

The model with its card (architecture, inputs and outputs, metrics with their intervals, what was quantised), the
teacher as its ancestor, the data with the digest of each split, what the file needs to run, and what made it. Facts
that the same compile repeats are in it, and nothing else: no clock, no serial number, no times. So the same compile
gives the same bytes. Written by hand, since the format is plain JSON; tests validate it with CycloneDX's own library.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING

from squeeze import seal
from squeeze.bom.card import card, scores
from squeeze.bom.fields import DATA, MODEL, TEACHER, Json, hashes, licences, properties
from squeeze.bom.libraries import needed, tools
from squeeze.workdir import digest_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping


def render(manifest: Json, files: Mapping[str, bytes]) -> bytes:
    """The document for a package of these `files`, whose manifest has all but its digests. The report is not told: it
    has times in it."""
    runs_it = needed(manifest, files[seal.MODEL])
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": tools(manifest["versions"])},
            "component": _model(manifest, files),
        },
        "components": [_data(manifest["calib"]), *runs_it],
        "dependencies": [{"ref": MODEL, "dependsOn": [one["bom-ref"] for one in runs_it]}],
    }
    return (json.dumps(bom, indent=1, allow_nan=False) + "\n").encode()


def _model(manifest: Json, files: Mapping[str, bytes]) -> Json:
    picked = manifest["verdict"]["picked"]
    inside = [name for name in sorted(files) if name not in (seal.MODEL, seal.REPORT)]
    return {
        "type": "machine-learning-model",
        "bom-ref": MODEL,
        "name": f"{_teacher_name(manifest['teacher'])}-{picked}",
        "hashes": hashes(digest_bytes(files[seal.MODEL])),
        **licences(manifest["licence"]),
        "pedigree": {"ancestors": [_ancestor(manifest)]},
        "components": [
            {"type": "file", "name": name, "hashes": hashes(digest_bytes(files[name]))}
            for name in inside
        ],
        "modelCard": card(manifest),
        "properties": properties(_facts(manifest, picked)),
    }


def _ancestor(manifest: Json) -> Json:
    teacher = manifest["teacher"]
    digest = teacher["digest"]
    return {
        "type": "machine-learning-model",
        "bom-ref": TEACHER,
        "name": PurePath(teacher["source"]).name,
        # A digest of several files, or of code and weights, is that of no file that could be compared.
        **({"hashes": hashes(digest)} if teacher["of_one_file"] else {}),
        "modelCard": {
            "quantitativeAnalysis": {"performanceMetrics": scores(manifest, "teacher")},
        },
        "properties": properties(
            {"kind": teacher["kind"], "digest": digest}
            | {name: teacher[name] for name in ("params", "macs")}
        ),
    }


def _facts(manifest: Json, picked: str) -> Json:
    """Sizes, what was quantised, and what it was made for."""
    measured, size = manifest["measurements"]["student"], manifest["size"] or {}
    widths = Counter(row["bits"] for row in manifest["layers"] if row["macs"])
    weights = {
        f"weights.{name}": size[name]
        for name in ("quantised", "unquantised", "stored_bits")
        if size.get(name) is not None
    }
    return {
        "form": picked,
        "params": measured["params"],
        "macs": measured["macs"],
        "weight_bytes": measured["weight_bytes"],
        **weights,
        **{
            f"layers.{'float' if bits is None else f'{bits}_bit'}": n
            for bits, n in sorted(widths.items(), key=lambda row: row[0] or 0)
        },
        "target": manifest["target"]["name"],
        "recipe": manifest["recipe"]["name"],
        "seed": manifest["seeds"]["all"],
    }


def _data(calib: Json) -> Json:
    splits = calib["splits"]
    return {
        "type": "data",
        "bom-ref": DATA,
        "name": calib["name"],
        **licences(calib["licence"]),
        "components": [
            {
                "type": "data",
                "bom-ref": f"{DATA}/{name}",
                "name": name,
                "properties": properties(splits[name]),
            }
            for name in splits
            if splits[name]["samples"]
        ],
        "properties": properties({"digest": calib["digest"], "modality": calib["modality"]}),
    }


def _teacher_name(teacher: Json) -> str:
    """Without the ending of a file; of a factory the function."""
    source = PurePath(teacher["source"])
    return source.stem if teacher["kind"] != "factory" else source.name.rpartition(":")[2]
