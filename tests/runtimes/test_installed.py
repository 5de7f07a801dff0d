"""What is said of optional packages. onnx is always here, and its version is what its metadata says."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
import tomli

from squeeze.runtimes.installed import missing_package, named_version, packages_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("module", ["no_such_module", "no_such_module.part"])
def test_what_is_missing_is_said_with_its_command(module: str) -> None:
    said = missing_package(module, "some-package", "npu")
    assert said == (
        "some-package is not installed: pip install 'ai-edge-litert>=2.0' 'ethos-u-vela>=5.2'"
    )
    assert named_version("some-package") == "some-package (not installed)"


@pytest.mark.parametrize("extra", ["litert", "mcu", "ncnn", "npu", "openvino", "qnn"])
def test_packages_of_an_extra_are_those_of_the_project_file(extra: str) -> None:
    project = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [text.split(";")[0] for text in project["optional-dependencies"][extra]]
    assert packages_of(extra) == wanted


def test_an_extra_of_which_nothing_is_known_is_named_itself() -> None:
    assert packages_of("no-such-extra") == ["squeeze[no-such-extra]"]


@pytest.mark.parametrize("least", ["", "1", "1.18", "1.18.0"])
def test_a_package_that_is_new_enough_is_not_missing(least: str) -> None:
    assert missing_package("onnx", "onnx", "npu", least) is None
    assert named_version("onnx") == f"onnx {version('onnx')}"


def test_a_package_that_is_too_old_is_named_with_what_is_wanted() -> None:
    said = missing_package("onnx", "onnx", "npu", "999.10")
    assert said == f"onnx {version('onnx')} is older than 999.10: pip install 'onnx>=999.10'"
