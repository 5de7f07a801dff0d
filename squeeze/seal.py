"""What a package proves: that nothing in its folder is other than what was written.

Every file has its digest in the manifest, what was compiled has one (`artifact_digest`: the model and its weights, the
same for the same inputs and seed), and the manifest has one of itself. That is integrity: whoever may write the folder
may write new digests too. What no such change follows is a digest that was kept elsewhere (`squeeze verify --expect`),
or a signature (squeeze/signature.py).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze.errors import ConfigError, Mismatch
from squeeze.workdir import digest_bytes, digest_file, digest_json

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]  # Any: JSON

SCHEMA = 3  # of the manifest
MANIFEST = "manifest.json"
MODEL = "model.onnx"
WEIGHTS = "weights.safetensors"
GOLDEN = "golden.npz"
REPORT = "report.html"
BOM = "bom.cdx.json"
TOKENIZER = "tokenizer.json"  # of models that read text
SIGNATURE = "model.sig"  # not in the manifest, which it signs: see squeeze/signature.py

# Without one of them there is nothing to run, to compare, to read, or to say where it comes from.
_NEEDED = (MODEL, GOLDEN, REPORT, BOM)
_COMPILED = (MODEL, WEIGHTS)


class Damaged(Mismatch, ConfigError):
    """A package that does not have the bytes that were written, or has others beside them."""


def sealed(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Json:
    """The manifest with the digests of `files`, of what was compiled, and of itself."""
    listed = {n: {"bytes": len(b), "digest": digest_bytes(b)} for n, b in sorted(files.items())}
    found = {**manifest, "files": listed, "artifact_digest": _compiled(listed)}
    return {**found, "digest": digest_json(found)}


def unsealed(path: Path) -> Json:
    """The manifest of the package in the folder `path`, all of whose files were found as they were written.

    Raises Damaged with the file that is another, missing, a link or not listed; ConfigError for a package of another
    version.
    """
    file = path / MANIFEST
    try:
        manifest = json.loads(file.read_bytes())
        if manifest["digest"] != digest_json({k: v for k, v in manifest.items() if k != "digest"}):
            raise Damaged(
                f"{file}: the bytes changed since the package was written; do not trust it"
            )
        if manifest["schema"] != SCHEMA:
            raise ConfigError(
                f"{file}: another version of squeeze wrote it (schema {manifest['schema']}, this one reads {SCHEMA}); "
                "compile again"
            )
        listed = {str(n): {"digest": str(f["digest"])} for n, f in manifest["files"].items()}
        compiled = str(manifest["artifact_digest"])
        device = (manifest.get("device") or {}).get("files") or ()
        needed = [*_NEEDED, *(str(name) for name in device)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise Damaged(f"{file}: not a readable manifest; the package is damaged") from e
    if absent := [name for name in needed if name not in listed]:
        raise Damaged(f"{file}: does not list '{absent[0]}'; do not trust it")
    _check_files(path, {name: member["digest"] for name, member in listed.items()})
    if compiled != _compiled(listed):
        raise Damaged(
            f"{file}: its artifact_digest is not that of the model and the weights; do not trust it"
        )
    return dict(manifest)


def members(path: Path) -> set[str]:
    """The names of what belongs to the package in the folder `path`, by its manifest alone; where that can't be read,
    of all that is there."""
    try:
        listed = json.loads((path / MANIFEST).read_bytes())["files"]
        return {MANIFEST, SIGNATURE, *map(str, listed)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {p.name for p in path.iterdir()}


def _check_files(path: Path, listed: Mapping[str, str]) -> None:
    """Raises Damaged."""
    for name, digest in listed.items():
        member = path / name
        if Path(name).name != name:
            raise Damaged(f"{path / MANIFEST}: names a file outside of the package: {name!r}")
        if member.is_symlink():
            raise Damaged(
                f"{member}: is a link, whose target may change; put the file in its place"
            )
        if not member.is_file():
            raise Damaged(f"{member}: missing from the package")
        if digest_file(member) != digest:
            raise Damaged(
                f"{member}: the bytes changed since the package was written; compile again or restore the file"
            )
    for known in (MANIFEST, SIGNATURE):
        if (path / known).is_symlink():
            raise Damaged(f"{path / known}: is a link, whose target may change; put the file there")
    ours = {*listed, MANIFEST, SIGNATURE}
    if foreign := sorted(p.name for p in path.iterdir() if p.name not in ours):
        raise Damaged(
            f"{path / foreign[0]}: is not in the manifest; take it out, or do not trust the package"
        )


def _compiled(listed: Mapping[str, Mapping[str, Any]]) -> str:
    return digest_json({n: listed[n]["digest"] for n in _COMPILED if n in listed})
