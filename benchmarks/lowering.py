"""Whole int8 networks, batch 1: lowered to our ops, against the same graph in ONNX Runtime and in OpenVINO.

python -m benchmarks.lowering                        all networks; replaces this machine's rows in results/lowering.json
python -m benchmarks.lowering --quick                a minute: fewer rounds, nothing of nncf; writes nothing
python -m benchmarks.lowering --only resnet20-int8   networks whose name has this text; writes nothing

Everything runs in turns in one run, on one thread and on two. The row `body` is the lowered file without our
library: its function bodies have to run as the plain graph does. OpenVINO runs the same Q/DQ graph, and what nncf
makes of the float one, held to the same instructions; `openvino` is the faster of the two.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from benchmarks import goals, networks, pages, results_file
from benchmarks.cases import MissingData, cache_dir
from benchmarks.interleave import alternate
from benchmarks.peers import MissingPeer, nncf_openvino
from benchmarks.rounds import faster
from benchmarks.runners import OPENVINO_LIMITS, OpenVino, OrtModel, Turn, limited
from squeeze import graph, machine
from squeeze.graph.lower import lower

RESULTS = Path(__file__).parent / "results" / "lowering.json"
ROUNDS, QUICK_ROUNDS = 61, 9
THREADS = (1, 2)
TURN_US, LEAST_CALLS, MOST_CALLS = 2000.0, 3, 15
# Outputs of the same integers may part by a rounding here and there, never by more than this share of their range.
APART = 0.1
logger = logging.getLogger(__name__)
Json = dict[str, Any]  # Any: JSON


def main() -> None:
    """Measures, writes results and table."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds; writes nothing")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="", help="networks with this text; writes nothing")
    parser.add_argument("--isa", choices=machine.isa(), help="this one alone; writes nothing")
    given = parser.parse_args()
    isas = [given.isa] if given.isa else list(machine.isa())
    threads = [t for t in THREADS if t <= machine.usable_cores()]
    workers = _workers(isas)
    rows: list[Json] = []
    notes: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in networks.NETWORKS.items():
            if given.only not in name:
                continue
            try:
                model = make()
            except MissingData as e:
                logger.info("%s: left out: %s", name, e)
                continue
            one = Network(name, model, Path(folder), nncf=not given.quick)
            for t in threads:
                turns = opened(one, isas, workers, t)
                rows += measured(
                    name, turns, isas, t, QUICK_ROUNDS if given.quick else given.rounds
                )
            notes[name] = one.notes
            for worker in workers.values():
                worker.forget()
    for worker in workers.values():
        worker.close()
    logger.info("%s", text(rows))
    if not (given.quick or given.only or given.isa):
        command, facts = "python -m benchmarks.lowering", {"lowered": notes}
        document = results_file.write(RESULTS, command, rows, run=facts)
        pages.fill(pages.KERNELS, "lowering", pages.by_host(document, text))


class Network:
    """The files of one network: the plain int8 graph, the lowered one, and nncf's, None when it is left out."""

    def __init__(self, name: str, model: bytes, folder: Path, *, nncf: bool) -> None:
        self.name = name
        self.plain = networks.quantised(model, folder)
        self.plain_path = folder / f"{name}.onnx"
        self.plain_path.write_bytes(self.plain)
        read = ir.serde.deserialize_model(onnx.load_from_string(self.plain))
        lowered, notes = lower(read)
        self.lowered = graph.to_bytes(lowered)
        self.notes = [note["why"] for note in notes]
        self.nncf_path = _nncf(model) if nncf else None


def opened(
    network: Network, isas: list[str], workers: dict[str, OpenVino], threads: int
) -> dict[str, Turn]:
    """A turn for each contender. All that run in ONNX Runtime are made to agree first."""
    models = {
        "ort": OrtModel(network.plain, threads),
        "body": OrtModel(network.lowered, threads),
    }
    for isa in isas:
        with limited(isa):
            models[isa] = OrtModel(network.lowered, threads, native=True)
    wanted = models["ort"].result()
    for name, model in models.items():
        apart = np.abs(model.result() - wanted).max()
        # Otherwise two different networks would be compared.
        assert apart <= APART * np.ptp(wanted), (network.name, name, apart)
    turns = {name: model.turn for name, model in models.items()}
    for isa, worker in workers.items():
        turns[f"openvino-qdq {isa}"], ran = worker.open(network.plain_path, threads)
        # OpenVINO is at its best when every convolution is one of int8 with everything fused into it.
        loose = {k: n for k, n in ran.items() if "Convolution" in k and "I8" not in k}
        if loose:
            logger.warning("%s: OpenVINO leaves convolutions in float: %s", network.name, loose)
        if network.nncf_path is not None:
            turns[f"openvino-nncf {isa}"], _ = worker.open(network.nncf_path, threads)
    return turns


def measured(
    name: str, turns: dict[str, Turn], isas: list[str], threads: int, rounds: int
) -> list[Json]:
    """One interleaved run; one row for each of ours against each of theirs."""
    counted = {
        n: partial(t, int(np.clip(TURN_US / t(1), LEAST_CALLS, MOST_CALLS)))
        for n, t in turns.items()
    }
    ran = alternate(counted, rounds)
    us = {n: np.array(taken) for n, taken in ran.items()}
    rows = [_row(name, "body", threads, "ort", us["body"], us["ort"])]
    for isa in isas:
        peers = {"ort": us["ort"]}
        kinds = [k for k in ("openvino-qdq", "openvino-nncf") if f"{k} {isa}" in us]
        if kinds:
            best = min((us[f"{k} {isa}"] for k in kinds), key=lambda t: float(np.median(t)))
            peers |= {"openvino": best, **{k: us[f"{k} {isa}"] for k in kinds}}
        rows += [_row(name, isa, threads, k, us[isa], theirs) for k, theirs in peers.items()]
    return rows


def text(rows: list[Json]) -> str:
    """Markdown, with the goals beside the ratios."""
    lines = [
        "| network | isa | threads | us | against | its us | ratio | quartiles | goal | |",
        "| --- | --- | ---: | ---: | --- | ---: | ---: | --- | ---: | --- |",
    ]
    lines += [
        f"| {r['case']} | {r['isa']} | {r['threads']} | {r['us']:.1f} | {r['against']} "
        f"| {r['against_us']:.1f} | {r['ratio']:.2f} | {r['spread'][0]:.2f}-{r['spread'][1]:.2f} "
        f"| {goals.goal(r['case'], r['against'], r['isa'], r['threads'])} | {goals.verdict(r)} |"
        for r in rows
    ]
    return "\n".join(lines)


def _row(
    case: str, isa: str, threads: int, against: str, ours: np.ndarray, theirs: np.ndarray
) -> Json:
    won = faster(ours, theirs)
    return {
        "case": case,
        "isa": isa,
        "threads": threads,
        "us": round(float(np.median(ours)), 2),
        "against": against,
        "against_us": round(float(np.median(theirs)), 2),
        "ratio": round(won.ratio, 3),
        "spread": [round(won.low, 3), round(won.high, 3)],
    }


def _workers(isas: list[str]) -> dict[str, OpenVino]:
    try:
        return {isa: OpenVino(isa) for isa in isas if isa in OPENVINO_LIMITS}
    except MissingPeer as e:
        logger.warning("OpenVINO: left out: %s", e)
        return {}


def _nncf(model: bytes) -> Path | None:
    """nncf's int8 model of a float one, kept in the cache: it takes a while to make."""
    folder = cache_dir() / "nncf" / hashlib.sha256(model).hexdigest()[:16]
    path = folder / "openvino_int8.xml"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "float.onnx").write_bytes(model)
        try:
            nncf_openvino(folder / "float.onnx", networks.samples(model), folder)
        except MissingPeer as e:
            logger.warning("nncf: left out: %s", e)
            return None
    return path


if __name__ == "__main__":
    try:
        main()
    except MissingPeer as missing:
        raise SystemExit(str(missing)) from None
