"""The package that a compile leaves: written whole or not at all, and checked byte by byte when it is opened.

OUT/model.onnx            what the device runs
OUT/weights.safetensors   the student's float weights (absent when the teacher's own architecture was kept)
OUT/golden.npz            a few inputs and the outputs that model.onnx gave for them
OUT/tokenizer.json        what makes ids of texts (where the data were texts)
OUT/report.html           the page for people
OUT/bom.cdx.json          what it was made of, as CycloneDX
OUT/manifest.json         everything else, and the digest of each file above and of itself
OUT/model.sig             who made it, where `squeeze sign` was asked to say so

A compile for several targets leaves OUT/<target>/ for each, and OUT/index.json and OUT/index.html that name them.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.exchange import bring_back, is_left_over
from squeeze.folder import check_folder, written
from squeeze.interface import Interface
from squeeze.quantities import show_bytes
from squeeze.seal import MANIFEST, MODEL, SIGNATURE, WEIGHTS, Damaged, members, sealed, unsealed
from squeeze.spec import ArchSpec
from squeeze.workdir import DISK_FULL, write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

logger = logging.getLogger(__name__)

INDEX, INDEX_PAGE = "index.json", "index.html"


@dataclass(frozen=True)
class Artifact:
    """An opened package; every file was found to have the bytes that the manifest says."""

    path: Path
    manifest: dict[str, Any]  # Any: JSON

    @property
    def model(self) -> Path:
        """The exported model."""
        return self.path / MODEL

    @property
    def digest(self) -> str:
        """The artifact hash: what was compiled, without when and how fast it was measured."""
        return str(self.manifest["artifact_digest"])

    @property
    def goal_met(self) -> bool:
        """Whether the measured artifact is inside the goal."""
        return bool(self.manifest["verdict"]["met"])

    @property
    def interface(self) -> Interface:
        """What the model takes and gives. Raises Damaged where the manifest does not say it."""
        try:
            known = Interface.from_json(self.manifest["signature"])
            usable = known.inputs and known.outputs and known.is_sound
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as e:
            raise Damaged(f"{self.path / MANIFEST}: its signature cannot be read") from e
        if not usable:
            raise Damaged(f"{self.path / MANIFEST}: its signature is of no model")
        return known

    def module(self) -> Any:  # Any: torch is imported only here
        """The student as a torch module with its float weights, rebuilt from ArchSpec + safetensors.

        Raises UnsupportedError when the teacher's own architecture was kept.
        """
        if self.manifest["arch"] is None:
            raise UnsupportedError(
                f"{self.path}: the teacher's own architecture was kept, there is no student to rebuild; "
                f"load the teacher ({self.manifest['teacher']['source']}) instead"
            )
        from safetensors.torch import load_file

        from squeeze import students

        module = students.rebuild(ArchSpec.model_validate(self.manifest["arch"]))
        module.load_state_dict(load_file(self.path / WEIGHTS))
        return module.eval()


def places(out: Path, targets: Sequence[str]) -> list[Path]:
    """Where the package of each target goes: `out` for one, `out`/<target> for several; fails early as `check_output`.

    Raises ConfigError for two targets of one name.
    """
    if len(targets) == 1:
        check_output(out)
        return [out]
    if twice := [name for name, count in Counter(targets).items() if count > 1]:
        raise ConfigError(
            f"--target {twice[0]}: given twice; each target has a folder of its own in {out}, so names must differ"
        )
    found = [out / name for name in targets]
    known = {INDEX, INDEX_PAGE}
    if out.is_dir():
        foreign = [
            p.name
            for p in out.iterdir()
            if p.name not in known and not (p / MANIFEST).is_file() and not is_left_over(p)
        ]
        if foreign:
            raise ConfigError(
                f"{out}: holds '{sorted(foreign)[0]}', which is no squeeze package; choose a new or an empty folder"
            )
    for place in found:
        check_output(place)
    return found


def check_output(out: Path) -> None:
    """Fails early when `out` cannot be written, or holds something that is not ours. Leaves nothing behind."""
    check_folder(out, "squeeze package", MANIFEST, members)


def write(out: Path, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Artifact:
    """Writes the package beside `out` and exchanges the two in one step, so that a kill leaves one of them, whole.

    `manifest` without its digests; they are added here. Raises ConfigError when the disk is full or not writable.
    """
    whole = sealed(manifest, files)
    was_signed = (out / SIGNATURE).exists()
    try:
        with written(out) as part:
            for name, data in files.items():
                (part / name).write_bytes(data)
            text = json.dumps(whole, indent=1, allow_nan=False)
            (part / MANIFEST).write_text(text, encoding="utf-8")
    except OSError as e:
        size = sum(len(b) for b in files.values())
        what = "the disk is full" if e.errno in DISK_FULL else str(e.strerror)
        raise ConfigError(
            f"{out}: cannot be written: {what}; the package needs {show_bytes(size)}. "
            "Nothing was left behind; finished steps are kept, the same command goes on"
        ) from e
    if was_signed:
        logger.warning(
            "%s: was signed, and the package that takes its place is not; squeeze sign does that",
            out,
        )
    return Artifact(out.absolute(), whole)


def write_index(out: Path, packages: Sequence[Artifact]) -> None:
    """Writes `out`/index.json and a page that lead to the packages of one compile, which lie in folders of `out`."""
    from squeeze.report import render_index, row_of_index

    rows = [
        {
            "package": package.path.name,
            "artifact_digest": package.digest,
            "met": package.goal_met,
            **row_of_index(package.manifest),
        }
        for package in packages
    ]
    write_atomic(out / INDEX, json.dumps({"schema": 1, "packages": rows}, indent=1).encode())
    write_atomic(out / INDEX_PAGE, render_index(rows).encode())


def open(path: str | Path) -> Artifact:
    """Opens a package whose files are all as they were written.

    Raises Damaged, which is a ConfigError, with the name of a file that is not, and ConfigError for what is no package
    or one of another version.
    """
    path = Path(path)
    bring_back(path.resolve(), MANIFEST)
    file = path / MANIFEST
    if not file.is_file():
        if (path / INDEX).is_file() and (inside := sorted(path.glob(f"*/{MANIFEST}"))):
            folders = " or ".join(str(found.parent) for found in inside)
            raise ConfigError(f"{path}: holds several packages; give one of them: {folders}")
        raise ConfigError(f"{path}: not a squeeze package: no {MANIFEST} in it")
    return Artifact(path, unsealed(path))
