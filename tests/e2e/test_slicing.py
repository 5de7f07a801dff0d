"""One network of a convolutional teacher, trained once, from which compile after compile takes its student."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest
from safetensors.numpy import load_file

import squeeze
from squeeze.commands.search import search_supernet
from squeeze.errors import UnsupportedError

if TYPE_CHECKING:
    from tests.e2e.conftest import Trained

Json = dict[str, Any]  # Any: JSON

FEW: dict[str, Any] = {
    "supernet.steps": 40,
    "supernet.further": 10,
    "distill.batch_size": 32,
    "distill.views": 2,
    "distill.checkpoint_s": 0,
    "search.measured": 2,
    "search.evaluations": 4,
    "search.speedup": 1.0,
    "quant.samples": 64,
    "quant.steps": 0,
    "goal.max_drop": 100.0,
}


@dataclass(frozen=True)
class Network:
    """The folder of a network, and what its making said."""

    folder: Path
    said: Json


def made(teacher: Trained, folder: Path, **given: Any) -> Network:
    said = search_supernet(
        str(teacher.pt2),
        str(teacher.data),
        out=folder / "net",
        overrides=FEW,
        threads=1,
        cache=folder / "cache",
        **given,
    )
    return Network(folder / "net", said)


@pytest.fixture(scope="module")
def network(signal_teacher: Trained, tmp_path_factory: pytest.TempPathFactory) -> Network:
    return made(signal_teacher, tmp_path_factory.mktemp("slices"))


def steps(package: squeeze.artifact.Artifact) -> dict[str, Json]:
    return {step["name"]: step for step in package.manifest["steps"]}


def compiled(teacher: Trained, network: Network, out: Path, **overrides: Any) -> Any:
    return squeeze.compile(
        str(teacher.pt2),
        str(teacher.data),
        out=out,
        threads=1,
        supernet=network.folder,
        cache=out.parent / "cache",
        overrides={**FEW, **{name.replace("__", "."): value for name, value in overrides.items()}},
    )


def test_folder_has_the_weights_and_the_loss_of_every_part(
    signal_teacher: Trained, network: Network
) -> None:
    (parts,) = network.said["spaces"].values()
    assert list(network.said["spaces"]) == ["small"]
    assert all(np.isfinite(part["loss"]) for part in parts)
    assert len({json.dumps([part["units"], part["depths"]]) for part in parts}) == len(parts)
    # Three map sizes, each with a quarter, three eighths, a half or three quarters of its channels in multiples of 8:
    # of 48 these are 16, 16, 24 and 32, of 96 they are four.
    assert len(parts) == 3 * 4 * 4
    whole, trained = (
        load_file(network.folder / name / "weights.safetensors") for name in ("inherited", "small")
    )
    assert whole.keys() == trained.keys()
    assert {n: x.shape for n, x in whole.items()} == {n: x.shape for n, x in trained.items()}


def test_two_compiles_take_two_students_from_one_network(
    signal_teacher: Trained, network: Network, tmp_path: Path
) -> None:
    packages = [
        compiled(signal_teacher, network, tmp_path / str(share), search__shrink=share)
        for share in (6.0, 20.0)
    ]
    small = []
    for package in packages:
        done = steps(package)
        assert done["pick"]["status"] == "done"
        assert not {"supernet", "search", "inherit"} & set(done)
        candidates = package.manifest["measurements"]["candidates"]
        small.append(candidates["shrunk-float"])
        assert small[-1]["macs"] < candidates["teacher"]["macs"]
        # Ten steps of its own: what it knows it has from the network.
        assert small[-1]["metric"] > candidates["teacher"]["metric"] - 15
        session = ort.InferenceSession(package.model, providers=["CPUExecutionProvider"])
        assert session.get_outputs()[0].shape[1] == 4
    assert small[1]["params"] < small[0]["params"]
    again = steps(compiled(signal_teacher, network, tmp_path / "6.0", search__shrink=6.0))
    assert {again[name]["status"] for name in ("pick", "labels", "distill-shrunk")} == {"reused"}


def test_killed_search_goes_on_and_ends_with_the_same_bytes(
    signal_teacher: Trained,
    network: Network,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    command = [
        *(sys.executable, "-m", "squeeze", "search", str(signal_teacher.pt2), "--supernet"),
        *("--calib", str(signal_teacher.data), "-o", str(tmp_path / "net")),
        *("--cache", str(tmp_path / "cache"), "--threads", "1", "--quiet"),
        *(part for key, value in FEW.items() for part in ("--set", f"{key}={value}")),
    ]
    with subprocess.Popen(command) as process:
        for _ in range(30_000):
            if any((tmp_path / "cache").glob("partial/supernet-*/checkpoint_*.json")):
                break
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "net").exists()
    with caplog.at_level(logging.INFO, "squeeze"):
        again = made(signal_teacher, tmp_path)
    assert any(record.message.startswith("going on from step") for record in caplog.records)
    for name in ("inherited", "small"):
        file = Path(name) / "weights.safetensors"
        assert (again.folder / file).read_bytes() == (network.folder / file).read_bytes()


def test_what_can_neither_be_sliced_nor_read_as_an_encoder_is_refused(
    vector_teacher: Trained, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError, match="convolutional network, and it has no convolutions"):
        made(vector_teacher, tmp_path)


def test_likeliest_space_is_trained_where_there_is_time_for_one(
    signal_teacher: Trained, tmp_path: Path
) -> None:
    said = search_supernet(
        str(signal_teacher.pt2),
        str(signal_teacher.data),
        out=tmp_path / "net",
        spaces=("tiny", "small"),
        overrides={**FEW, "supernet.steps": 1, "supernet.networks": 1},
        threads=1,
        cache=tmp_path / "cache",
    )
    # The larger parts are nearer to the teacher, and the budget has room for them.
    assert list(said["spaces"]) == ["small"]
    assert "loses" in said["picked"]["left"]["tiny"]
