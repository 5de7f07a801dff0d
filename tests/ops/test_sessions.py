"""Sessions with the library: several at once, from several threads, many in a row, and what really ran in them."""

from __future__ import annotations

import gc
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.ops import any_op
from tests.ops.node_model import Node, build, most_steps_apart, session

every_op = pytest.mark.parametrize("op_type", any_op.OPS)


def sample(op_type: str) -> Node:
    rng = np.random.default_rng(5)
    return any_op.random_node(op_type, lambda low, high: int(rng.integers(low, high + 1)))


@every_op
def test_the_profile_shows_the_native_op(library: str, op_type: str, tmp_path: Path) -> None:
    node = sample(op_type)
    made = session(
        build(node, body=True),
        native=True,
        enable_profiling=True,
        profile_file_prefix=str(tmp_path / "profile"),
    )
    made.run(None, node.feeds())
    events = json.loads(Path(made.end_profiling()).read_text())
    ran = [
        e["args"]["op_name"] for e in events if e.get("cat") == "Node" and "op_name" in e["args"]
    ]
    assert set(ran) == {op_type}


@every_op
def test_sessions_with_and_without_the_library_live_side_by_side(
    library: str, op_type: str
) -> None:
    node = sample(op_type)
    model = build(node, body=True)
    made = [session(model, native=native) for native in (True, False, True)]
    first, body, second = (m.run(None, node.feeds())[0] for m in made)
    np.testing.assert_array_equal(first, second)
    if not any_op.is_float(node):
        assert most_steps_apart(first, body) <= 1
    del made[0]
    np.testing.assert_array_equal(made[-1].run(None, node.feeds())[0], second)


@every_op
def test_threads_that_share_a_session_get_equal_results(library: str, op_type: str) -> None:
    node = sample(op_type)
    made = session(build(node, body=False), native=True, threads=2)
    wanted = made.run(None, node.feeds())[0]
    with ThreadPoolExecutor(4) as threads:
        results = [threads.submit(made.run, None, node.feeds()) for _ in range(40)]
    for result in results:
        np.testing.assert_array_equal(result.result()[0], wanted)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def test_thirty_sessions_in_a_row_keep_no_memory(library: str) -> None:
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("AddressSanitizer keeps released memory for a while")
    # Weights of 1 MB, so that a session that is not released shows.
    rng = np.random.default_rng(1)
    one = np.array(0.02, np.float32)
    node = Node(
        "QGemm",
        {
            "a": rng.integers(0, 256, (1, 1024)).astype(np.uint8),
            "a_scale": one,
            "a_zero_point": np.array(3, np.uint8),
            "b": rng.integers(-128, 128, (1024, 1024)).astype(np.int8),
            "b_scale": np.full(1024, 0.01, np.float32),
            "bias": np.zeros(1024, np.int32),
            "y_scale": one,
            "y_zero_point": np.array(128, np.uint8),
        },
        ("a",),
    )
    model = build(node, body=False)

    def use_one() -> None:
        session(model, native=True).run(None, node.feeds())
        gc.collect()

    for _ in range(5):
        use_one()
    before = resident_bytes()
    for _ in range(30):
        use_one()
    assert resident_bytes() - before < 16 << 20  # 30 sessions of 2 MB are 60 MB
