"""What is published: which files, what is in them and what is not, and on which Linux the libraries load."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import squeeze
from tests.native.symbols import check_shared_library

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = "squeeze/ops/libsqueeze_ops.so"
INFO = f"squeeze-{squeeze.__version__}.dist-info"
# ELF e_machine, and where this checkout has the library that its own tests of the kernels run.
NATIVE = {
    "manylinux_2_17_x86_64": (62, ROOT / LIBRARY),
    "manylinux_2_17_aarch64": (183, ROOT / "build/aarch64-linux-gnu/libsqueeze_ops.so"),
}
PLATFORMS = ["any", *NATIVE]


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        return {name for name in archive.namelist() if not name.endswith("/")}


def sources(folder: str) -> set[str]:
    """The files below `folder` of this checkout, without what was built there."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so"
    }


def test_there_are_an_sdist_and_three_wheels_of_this_version_and_nothing_else(
    dist: Path, wheels: dict[str, Path]
) -> None:
    assert set(wheels) == set(PLATFORMS)
    assert {wheel.name.split("-py3-none-")[0] for wheel in wheels.values()} == {
        f"squeeze-{squeeze.__version__}"
    }
    found = {path.name for path in dist.glob("squeeze-*")}
    assert found - {w.name for w in wheels.values()} == {f"squeeze-{squeeze.__version__}.tar.gz"}


def test_the_readme_installs_files_that_there_are(wheels: dict[str, Path]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"pip install (squeeze-\S+\.whl)", readme))
    assert named
    assert named <= {wheel.name for wheel in wheels.values()}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_wheel_holds_the_package_its_data_and_its_licences_alone(
    platform: str, wheels: dict[str, Path]
) -> None:
    package = {n for n in sources("squeeze") if not n.startswith("squeeze/csrc/")}
    data = {f"squeeze/data/{name}" for f in ("calib", "recipes", "targets") for name in sources(f)}
    about = {f"{INFO}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")}
    licences = {f"{INFO}/licenses/LICENSE", f"{INFO}/licenses/calib/fashion-LICENSE.txt"}
    library = {LIBRARY} if platform in NATIVE else set()
    assert names_in(wheels[platform]) == package | data | about | licences | library
    assert "squeeze/data/calib/fashion-LICENSE.txt" in data


@pytest.mark.parametrize("platform", NATIVE)
def test_the_library_is_of_that_machine_and_the_one_whose_kernels_are_tested(
    platform: str, wheels: dict[str, Path], tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheels[platform]) as archive:
        library = Path(archive.extract(LIBRARY, tmp_path))
    shipped = library.read_bytes()
    machine, tested = NATIVE[platform]
    assert struct.unpack_from("<H", shipped, 18) == (machine,)
    check_shared_library(library)
    if not tested.is_file():
        pytest.skip(f"{tested} is not built (docs/building.md)")
    assert shipped == tested.read_bytes(), f"{tested} was built of other sources or options"


@pytest.mark.parametrize("platform", NATIVE)
def test_auditwheel_gives_the_tag_that_the_wheel_has(
    platform: str, wheels: dict[str, Path]
) -> None:
    pytest.importorskip("auditwheel", reason="auditwheel is not installed")
    command = [sys.executable, "-m", "auditwheel", "show", str(wheels[platform])]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f'platform tag: "{platform}"' in " ".join(said.split())
    assert "requires no external shared libraries" in said or "GLIBC_2.16" in said
    with zipfile.ZipFile(wheels[platform]) as archive:
        tags = re.findall(r"(?m)^Tag: (.*)$", archive.read(f"{INFO}/WHEEL").decode())
    assert f"py3-none-{platform}" in tags
    assert [tag for tag in tags if "-linux_" in tag] == []


def test_the_sdist_holds_what_builds_and_tests_it(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
        assert all(m.isfile() or m.isdir() for m in archive.getmembers())
    for folder in ("squeeze", "calib", "recipes", "targets", "tests", "cmake", "docs"):
        assert sources(folder) <= names
    assert {"CMakeLists.txt", "LICENSE", "constraints.txt", "pyproject.toml"} <= names
    assert [n for n in names if n.endswith((".so", ".o", ".pyc")) or n.startswith("build/")] == []
