"""What a model needs to run, and what it was made with: packages with their versions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from squeeze.bom.fields import OPS, RUNTIME, Json
from squeeze.runtimes.ort import uses_our_ops

if TYPE_CHECKING:
    from collections.abc import Mapping

# Packages of the registry that the address of a runtime leads to.
_ON_PYPI = {
    *("ai-edge-litert", "ethos-u-vela", "ncnn", "onnxruntime"),
    *("onnxruntime-qnn", "openvino", "tflite-micro"),
}


def needed(manifest: Json, model: bytes) -> list[Json]:
    """What runs the file; and the library that makes it fast, which is no must."""
    found = [{"type": "library", "bom-ref": RUNTIME, **_runtime(manifest)}]
    if uses_our_ops(model):
        found.append(
            {
                "type": "library",
                "bom-ref": OPS,
                "name": "squeeze",
                "version": manifest["squeeze_version"],
                "description": "kernels of the custom operators; without them their bodies in the file run",
                "scope": "optional",
            }
        )
    return found


def _runtime(manifest: Json) -> Json:
    measured = manifest["measurements"]["student"]
    name, version = str(measured["runtime"]), str(measured["runtime_version"])
    if measured["source"] == "estimate":  # nothing ran
        return {"name": manifest["target"]["runtime"]["name"]}
    # Many a version names its package itself.
    if named := re.fullmatch(r"([a-z0-9-]+) (\d\S*)", version):
        name, version = named.groups()
    plain = name in _ON_PYPI and re.fullmatch(r"\d\S*", version)
    link = {"purl": _purl(name, version)} if plain else {}
    return {"name": name, "version": version, **link}


def tools(versions: Mapping[str, str]) -> list[Json]:
    """What the package was made with. squeeze itself is named without an address in a registry."""
    kinds = {"squeeze": "application", "python": "platform"}
    return [
        {"type": kinds[name], "name": name, "version": version}
        if name in kinds
        else {
            "type": "library",
            "name": name.replace("_", "-"),
            "version": version,
            "purl": _purl(name.replace("_", "-"), version),
        }
        for name, version in versions.items()
    ]


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{quote(name)}@{quote(version)}"
