from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from squeeze.runtimes.domains import domains
from tests.measure.models import linear, save


def test_domains_of_a_plain_model_is_onnx_alone(tmp_path: Path) -> None:
    assert domains(linear(tmp_path / "m.onnx")) == {""}


def test_domains_names_a_custom_one_in_a_file_and_in_bytes(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    path = save(tmp_path / "m.onnx", [node], [1], [1], domains=("ai.squeeze", "other"))
    assert domains(path) == {"", "ai.squeeze", "other"}
    assert domains(path.read_bytes()) == {"", "ai.squeeze", "other"}


def test_domains_ignores_the_word_elsewhere_in_the_file(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"], name="ai.squeeze", doc_string="ai.squeeze")
    assert domains(save(tmp_path / "m.onnx", [node], [1], [1])) == {""}


@given(st.binary(max_size=300))
def test_domains_of_any_bytes_ends_without_an_error(data: bytes) -> None:
    domains(data)


def test_domains_of_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        domains(tmp_path / "absent.onnx")
