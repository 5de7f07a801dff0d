"""What of onnxruntime-web needs no browser: what is missing, what is served, what its log says."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.runtimes.batches import joined_runs, runs_of
from squeeze.runtimes.browser.page_server import serving
from squeeze.runtimes.browser.placement import placement
from squeeze.runtimes.ort_message import blamed_node, plain_reason
from squeeze.runtimes.signature import Input
from squeeze.runtimes.web import Web
from squeeze.target import load_target
from tests.runtimes.small_networks import float_network


@pytest.fixture
def with_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "chromium"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho Chromium 1.2.3 made up\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("SQUEEZE_WEB", str(tmp_path / "web"))


@pytest.mark.usefixtures("with_a_browser")
def test_a_missing_package_is_said_with_the_command_that_brings_it(tmp_path: Path) -> None:
    web = Web(load_target("web-wasm"))
    wanted = f"npm install --prefix {tmp_path / 'web'} onnxruntime-web@1.30.0"
    assert web.missing() == f"onnxruntime-web is not installed: {wanted}"
    assert web.version == "onnxruntime-web (not installed), Chromium 1.2.3"
    with pytest.raises(UnsupportedError, match="target 'web-wasm': onnxruntime-web is not inst"):
        web.refuses(float_network(tmp_path / "m.onnx"))


@pytest.mark.usefixtures("with_a_browser")
def test_a_missing_browser_is_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    missing = Web(load_target("web-wasm")).missing()
    assert missing is not None
    assert missing.startswith("Chromium is not installed: apt-get install")


def test_the_server_gives_what_it_was_told_of_to_whoever_knows_the_path(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("not for pages")
    with serving({"page.mjs": b"1;"}) as server:
        with urllib.request.urlopen(f"{server.url}page.mjs") as got:
            assert got.read() == b"1;"
            assert got.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        root = f"http://127.0.0.1:{server.server_port}"
        for url in (
            f"{root}/page.mjs",
            f"{root}/guess/page.mjs",
            f"{server.url}secret",
            f"{server.url}../secret",
        ):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(url)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{root}/guess/end", data=b"{}")
        assert not server.ended.is_set()
        urllib.request.urlopen(f"{server.url}end", data=b"{}").close()
        assert server.ended.is_set()
        assert server.posted == {"end": b"{}"}


HEAD = (
    "2026-11-29 08:36:47.1 [V:onnxruntime:, session_state.cc:1383 VerifyEachNodeIsAssignedToAnEp] "
)


def test_placement_counts_operators_and_no_copies() -> None:
    log = [
        f"{HEAD} Node(s) placed on [CPUExecutionProvider]. Number of nodes: 2",
        f"{HEAD}  Det (the determinant)",
        f"{HEAD}  NonZero ()",
        f"{HEAD} Node(s) placed on [WebGpuExecutionProvider]. Number of nodes: 3",
        f"{HEAD}  Relu (a)",
        f"{HEAD}  Conv (b)",
        f"{HEAD}  MemcpyToHost (Memcpy)",
    ]
    assert placement(log) == (0.5, ("the determinant", "NonZero"))
    whole = [f"{HEAD} All nodes placed on [WebGpuExecutionProvider]. Number of nodes: 18"]
    assert placement(whole) == (1.0, ())
    none = [f"{HEAD} All nodes placed on [CPUExecutionProvider]. Number of nodes: 18"]
    assert placement(none)[0] == 0.0
    assert placement(["something else"]) == (None, ())


@pytest.mark.parametrize(
    ("message", "node"),
    [
        ("Could not find an implementation for Conv(11) node with name 'stem'", "stem"),
        (
            "Non-zero status code returned while running Add node. Name:'sum' Status Message: x",
            "sum",
        ),
        ('This is an invalid model. In Node, ("n1", Add, "", -1) : ("x": tensor(float)', "n1"),
        ("Node (odd) Op (Conv) [ShapeInferenceError] x", "odd"),
        ("the disk is full", ""),
    ],
)
def test_the_node_of_a_message(message: str, node: str, tmp_path: Path) -> None:
    model = float_network(tmp_path / "m.onnx")
    assert blamed_node([message], model) == node
    assert blamed_node(["nothing of it", message], model) == node


def test_an_unknown_operator_is_looked_up_in_the_file(tmp_path: Path) -> None:
    model = float_network(tmp_path / "m.onnx")
    wrapped = "Can't create a session. ERROR_CODE: 1, ERROR_MESSAGE: "
    said = wrapped + "Fatal error: {}:Gemm(-1) is not a registered function/op"
    assert blamed_node([said.format("")], model) == "last"
    assert blamed_node([said.format("vendor")], model) == ""
    assert plain_reason(said.format("x")) == "x:Gemm(-1) is not a registered function/op"


IMAGE = Input("x", np.dtype("float32"), (1, 3))
ANY = Input("x", np.dtype("float32"), ("n", 3))
NUMBER = Input("rate", np.dtype("int64"), ())


def test_samples_go_one_by_one_where_the_file_takes_one() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert len(runs_of([ANY], {"x": x})) == 1
    runs = runs_of([IMAGE, NUMBER], {"x": x, "rate": np.array(7)})
    assert [run["x"].tolist() for run in runs] == [[[0, 1, 2]], [[3, 4, 5]]]
    assert [int(run["rate"]) for run in runs] == [7, 7]
    together = joined_runs([{"y": run["x"] + 1} for run in runs])
    np.testing.assert_array_equal(together["y"], x + 1)


def test_a_shape_that_does_not_fit_is_refused_with_both() -> None:
    with pytest.raises(
        ConfigError, match=r"input 'x': got shape \[2, 4\], the model takes \[n, 3\]"
    ):
        runs_of([ANY], {"x": np.zeros((2, 4), np.float32)})
    with pytest.raises(ConfigError, match=r"input 'x': nothing given; got other"):
        runs_of([ANY], {"other": np.zeros((2, 3), np.float32)})
