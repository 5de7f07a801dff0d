"""What a user installs: the metadata, the pins, and the files that have to be in a wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from squeeze import __version__
from tests.native.symbols import check_shared_library

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINS = [line for line in CONSTRAINTS if line and not line.startswith("#")]
EXTRAS = PROJECT["project"]["optional-dependencies"]


def _name(requirement: str) -> str:
    name = re.split(r"[ ;<>=!~\[]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(
    "requirement",
    [
        *PROJECT["project"]["dependencies"],
        *(r for extra in EXTRAS.values() for r in extra),
        *PROJECT["build-system"]["requires"],
    ],
)
def test_requirement_is_pinned_exactly(requirement: str) -> None:
    pins = [pin for pin in PINS if _name(pin) == _name(requirement)]
    assert pins
    assert all("==" in pin.split(";")[0] for pin in pins)


def test_pins_are_exact_and_without_local_versions() -> None:
    shape = re.compile(r'[a-z0-9-]+==[0-9][0-9a-z.]*(; python_version (<|>=) "3\.11")?')
    assert [pin for pin in PINS if not shape.fullmatch(pin)] == []


def test_torch_is_exact_and_torchvision_is_nowhere() -> None:
    assert "torch==2.13.0" in PROJECT["project"]["dependencies"]
    assert "torch==2.13.0" in PINS
    assert "torchvision" not in "\n".join(PINS)


def test_a_package_with_two_pins_has_one_for_each_python() -> None:
    names = [_name(pin) for pin in PINS]
    for name in {n for n in names if names.count(n) > 1}:
        markers = sorted(pin.partition("; ")[2] for pin in PINS if _name(pin) == name)
        assert markers == ['python_version < "3.11"', 'python_version >= "3.11"']


def test_peers_and_tools_are_no_requirement() -> None:
    required = {_name(r) for r in PROJECT["project"]["dependencies"]}
    assert required.isdisjoint({"nncf", "openvino", "pytest", "pillow"})


def test_the_changelog_begins_with_what_is_not_released_or_with_this_version() -> None:
    sections = re.findall(r"(?m)^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    released = sections[1:] if sections[0] == "Unreleased" else sections
    dated = re.compile(r"(\d+\.\d+\.\d+) - \d{4}-\d{2}-\d{2}")
    assert [section for section in released if not dated.fullmatch(section)] == []
    if released == sections:
        assert sections[0].startswith(f"{__version__} - ")


def test_wheel_without_native_library_holds_package_and_data(tmp_path: Path) -> None:
    pytest.importorskip("scikit_build_core", reason="scikit-build-core is not installed")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from scikit_build_core.build import build_wheel; build_wheel(sys.argv[1])",
            str(tmp_path),
        ],
        cwd=ROOT,
        env={"PATH": "/nonexistent", "SQUEEZE_NO_NATIVE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {
        "squeeze/py.typed",
        "squeeze/report/page.html",
        "squeeze/report/page.css",
        *(f"squeeze/data/targets/{p.name}" for p in (ROOT / "targets").glob("*.toml")),
        *(f"squeeze/data/recipes/{p.name}" for p in (ROOT / "recipes").glob("*.toml")),
        *(f"squeeze/data/calib/{p.name}" for p in (ROOT / "calib").glob("*")),
    }
    assert shipped <= names
    assert not [n for n in names if n.startswith("squeeze/csrc/") or n.endswith((".so", ".o"))]
    assert not [n for n in names if n.split("/")[0] in {"tests", "benchmarks", "docs", "build"}]


def test_wheel_with_native_library_is_one_for_every_python_of_the_platform(tmp_path: Path) -> None:
    pytest.importorskip("scikit_build_core", reason="scikit-build-core is not installed")
    for program in ("g++", "cmake"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from scikit_build_core.build import build_wheel; build_wheel(sys.argv[1])",
            str(tmp_path),
        ],
        cwd=ROOT,
        env={**os.environ, "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert re.fullmatch(r"squeeze-[0-9.]+-py3-none-linux_\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        binaries = [n for n in archive.namelist() if n.endswith((".so", ".a", ".o"))]
        assert binaries == ["squeeze/ops/libsqueeze_ops.so"]
        check_shared_library(archive.extract(binaries[0], tmp_path))


def test_building_without_a_compiler_says_what_to_install(tmp_path: Path) -> None:
    pytest.importorskip("scikit_build_core", reason="scikit-build-core is not installed")
    if not (ROOT / "CMakeLists.txt").is_file():
        pytest.skip("the checkout has no CMakeLists.txt")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from scikit_build_core.build import build_wheel; build_wheel(sys.argv[1])",
            str(tmp_path),
        ],
        cwd=ROOT,
        env={**os.environ, "CXX": "/nonexistent/c++"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "apt-get install g++ cmake make" in done.stdout + done.stderr
    assert "SQUEEZE_NO_NATIVE=1" in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
