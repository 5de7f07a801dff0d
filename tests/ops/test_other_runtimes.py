"""Every op in the oldest onnxruntime that we promise, and its body in onnxruntime-web's WebAssembly.

Both runtimes are put into build/runtimes once, from the package indices that pip and npm are set up with; a test is
skipped with the reason where that cannot be done.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.fetched import RUNTIMES, install, onnxruntime_web
from tests.ops import any_op
from tests.ops.node_model import Array, Node, build, most_steps_apart, run_native

HERE = Path(__file__).parent
OLDEST = "1.17.3"
NODES_PER_OP = 4


def nodes() -> dict[str, Node]:
    made = {}
    for op_type in any_op.OPS:
        for seed in range(NODES_PER_OP):
            rng = np.random.default_rng([11, seed])

            def draw(low: int, high: int, rng: np.random.Generator = rng) -> int:
                return int(rng.integers(low, high + 1))

            made[f"{op_type}-{seed}"] = any_op.random_node(op_type, draw)
    return made


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model, the feeds and, as NumPy and raw bytes, everything that the two runtimes read."""
    folder = tmp_path_factory.mktemp("models")
    listed = []
    for name, node in nodes().items():
        (folder / f"{name}.onnx").write_bytes(build(node, body=True).SerializeToString())
        np.savez(folder / f"{name}.npz", **node.feeds())
        feeds = []
        for key, value in node.feeds().items():
            (folder / f"{name}.{key}.bin").write_bytes(value.tobytes())
            feeds.append({"name": key, "type": str(value.dtype), "dims": value.shape})
        listed.append({"name": name, "feeds": feeds})
    (folder / "models.json").write_text(json.dumps(listed))
    return folder


@pytest.fixture(scope="module")
def old_python() -> Path:
    folder = RUNTIMES / f"onnxruntime-{OLDEST}-python{sys.version_info[0]}.{sys.version_info[1]}"
    python = folder / "venv/bin/python"
    install(
        folder,
        [sys.executable, "-m", "venv", "venv"],
        [
            *(python, "-m", "pip", "install", "--quiet", "--only-binary=:all:"),
            *(f"onnxruntime=={OLDEST}", "numpy<2"),
        ],
    )
    return python


@pytest.fixture(scope="module")
def web() -> Path:
    return onnxruntime_web()


def run(command: list[str | Path]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_close(node: Node, body: Array, native: Array) -> None:
    if any_op.is_float(node):
        np.testing.assert_allclose(body, native, rtol=1e-4, atol=1e-3)
    else:
        assert most_steps_apart(body, native) <= 1


def test_oldest_runtime_gives_the_bytes_of_the_present_one(
    library: str, old_python: Path, models: Path
) -> None:
    assert run([old_python, HERE / "old_runtime.py", models, library]).strip() == OLDEST
    for name, node in nodes().items():
        native = np.load(models / f"{name}.native.npy")
        np.testing.assert_array_equal(native, run_native(node), err_msg=name)


def test_oldest_runtime_runs_the_bodies_without_the_library(
    library: str, old_python: Path, models: Path
) -> None:
    assert run([old_python, HERE / "old_runtime.py", models]).strip() == OLDEST
    for name, node in nodes().items():
        assert_close(node, np.load(models / f"{name}.body.npy"), run_native(node))


def test_web_assembly_runs_the_bodies(library: str, web: Path, models: Path) -> None:
    script = shutil.copy(HERE / "web_runtime.mjs", web)  # imports resolve from where it lies
    run(["node", script, models])
    for name, node in nodes().items():
        native = run_native(node)
        data = (models / f"{name}.body.bin").read_bytes()
        assert_close(node, np.frombuffer(data, native.dtype).reshape(native.shape), native)
