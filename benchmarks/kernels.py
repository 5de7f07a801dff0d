"""The kernels against those of other runtimes, layer by layer: one interleaved run on one thread and on two.

python -m benchmarks.kernels                 all layers; replaces this machine's rows in results/kernels.json
python -m benchmarks.kernels --quick         a minute: fewer rounds; writes nothing
python -m benchmarks.kernels --only dscnn    layers whose name or network has this text; writes nothing

Convolutions against ONNX Runtime's QLinearConv and OpenVINO, 4-bit products against MatMulNBits, MatMulInteger
and MatMul, 4-bit convolutions against our own QConv. Every model is a chain or a fan of layers of one shape with own
weights (`chains.py`); a layer's time is the difference of a long and a short one.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks import chains, gemms, goals, pages, peaks, results_file
from benchmarks.interleave import alternate
from benchmarks.layers import LAYERS, Layer
from benchmarks.peers import MissingPeer
from benchmarks.rounds import Faster, faster, geomean, per_layer
from benchmarks.runners import OPENVINO_LIMITS, OpenVino, OrtModel, Turn, limited
from squeeze import machine, runtimes

RESULTS = Path(__file__).parent / "results" / "kernels.json"
ROUNDS, QUICK_ROUNDS = 41, 7
THREADS = (1, 2)
# Products carry more weights than convolutions: fewer of them, so that they stay in the second-level cache.
GEMM_SHORT, GEMM_LONG = 2, 6
# A turn lasts about so long, within these counts of calls.
TURN_US, LEAST_CALLS, MOST_CALLS = 400.0, 3, 15
NOT_OURS = "is not a registered function/op"
CODEBOOK_LAYERS = tuple(
    layer for layer in LAYERS if layer.network == "resnet20" and layer.feeds_next
)
logger = logging.getLogger(__name__)
Json = dict[str, Any]  # Any: JSON
Times = dict[tuple[str, int], np.ndarray]  # (contender, threads) -> us of one layer, [rounds]


class Skipped(Exception):
    """A contender does not take part; the text says why."""


@dataclass(frozen=True)
class Contender:
    """`open(count, threads)` makes a model of `count` layers ready to be timed. Raises Skipped."""

    name: str
    open: Callable[[int, int], Turn]


def main() -> None:
    """Measures, writes results and table."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds; writes nothing")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="", help="layers with this text; writes nothing")
    parser.add_argument("--isa", choices=machine.isa(), help="this one alone; writes nothing")
    given = parser.parse_args()
    rounds = QUICK_ROUNDS if given.quick else given.rounds
    isas = [given.isa] if given.isa else list(machine.isa())
    threads = [t for t in THREADS if t <= machine.usable_cores()]
    found = {t: peaks.measured(t) for t in threads}
    roofs = {t: peak for t, (peak, _) in found.items()}

    rows: list[Json] = []
    convolutions = {}
    workers = _workers(isas)
    with tempfile.TemporaryDirectory() as folder:
        for layer in LAYERS:
            if given.only in f"{layer.network} {layer.name}":
                contenders = _convolutions(layer, isas, workers, Path(folder))
                convolutions[layer] = timed(contenders, threads, rounds, chains.SHORT, chains.LONG)
                rows += _layer_rows(layer, convolutions[layer], isas, roofs)
                for worker in workers.values():
                    worker.forget()
    for worker in workers.values():
        worker.close()
    rows += _summaries(convolutions, isas)
    if given.only in "codebook":
        rows += _codebook_convs(isas, threads, rounds, roofs)
        for count in gemms.ROWS:
            rows += _codebook_gemms(count, isas, threads, rounds, roofs)
    logger.info("%s", text(rows))
    if not (given.quick or given.only or given.isa):
        facts = {"peaks": [wrote for _, wrote in found.values()]}
        document = results_file.write(RESULTS, "python -m benchmarks.kernels", rows, run=facts)
        pages.fill(pages.KERNELS, "kernels", pages.by_host(document, text))


def timed(
    contenders: list[Contender], threads: list[int], rounds: int, short: int, long: int
) -> Times:
    """One interleaved run of all contenders for each number of threads; says who cannot take part."""
    times: Times = {}
    left_out: set[str] = set()
    for t in threads:
        turns: dict[tuple[str, int], Turn] = {}
        for contender in contenders:
            if contender.name in left_out:
                continue
            try:
                turns |= {(contender.name, n): contender.open(n, t) for n in (short, long)}
            except Skipped as e:
                logger.info("%s: left out: %s", contender.name, e)
                left_out.add(contender.name)
        counted = {key: partial(turn, _calls(turn)) for key, turn in turns.items()}
        us = {k: np.array(v) for k, v in alternate(counted, rounds).items()}
        for name, n in us:
            if n == long:
                times[name, t] = per_layer(us[name, long], us[name, short], long - short)
    return times


def _calls(turn: Turn) -> int:
    return int(np.clip(TURN_US / turn(1), LEAST_CALLS, MOST_CALLS))


def _workers(isas: list[str]) -> dict[str, OpenVino]:
    try:
        return {isa: OpenVino(isa) for isa in isas if isa in OPENVINO_LIMITS}
    except MissingPeer as e:
        logger.warning("OpenVINO: left out: %s", e)
        return {}


def _ours(isa: str, make: Callable[[int], bytes]) -> Callable[[int, int], Turn]:
    def opened(count: int, threads: int) -> Turn:
        with limited(isa):
            try:
                return OrtModel(make(count), threads, native=True).turn
            except runtimes.ORT_ERRORS as e:
                if NOT_OURS in str(e):
                    raise Skipped("this build has no such op") from e
                raise

    return opened


def _ort(make: Callable[[int], bytes]) -> Callable[[int, int], Turn]:
    return lambda count, threads: OrtModel(make(count), threads).turn


def _convolutions(
    layer: Layer, isas: list[str], workers: dict[str, OpenVino], folder: Path
) -> list[Contender]:
    def ort(count: int, threads: int) -> Turn:
        optimised = folder / "optimised.onnx"
        model = OrtModel(chains.qdq(layer, count), threads, optimised=optimised)
        ops = Counter(node.op_type for node in onnx.load(optimised).graph.node)
        # Otherwise the comparison would be with something that nobody runs.
        assert ops["QLinearConv"] == count, ops
        assert ops["QLinearAdd"] == (count if layer.residual else 0), ops
        assert not {"Conv", "FusedConv", "QuantizeLinear"} & set(ops), ops
        return model.turn

    def openvino(worker: OpenVino, count: int, threads: int) -> Turn:
        path = folder / f"{count}.onnx"
        path.write_bytes(chains.qdq(layer, count))
        turn, ran = worker.open(path, threads)
        # The first layer of a chain may be in float, which cancels; the others must not be.
        float_layers = sum(
            n for kind, n in ran.items() if "Convolution" in kind and "I8" not in kind
        )
        if float_layers > layer.feeds_next:
            raise Skipped(f"OpenVINO runs {float_layers} of {count} layers in float")
        return turn

    ours = [Contender(f"ours {isa}", _ours(isa, partial(chains.native, layer))) for isa in isas]
    theirs = [Contender(f"openvino {isa}", partial(openvino, w)) for isa, w in workers.items()]
    return [Contender("ort", ort), *ours, *theirs]


def _layer_rows(
    layer: Layer, times: Times, isas: list[str], roofs: dict[int, peaks.Peaks]
) -> list[Json]:
    rows = []
    for isa, threads, against, ours, theirs in _pairs(times, isas):
        # No tile instruction helps a depthwise convolution.
        instruction = goals.VNNI if layer.depthwise and isa == goals.AMX else isa
        us = float(np.median(ours))
        share = roofs[threads].share(us, layer.macs, layer.moved_bytes, instruction)
        shape, op = f"{layer.network}: {layer.name}", "QConvAdd" if layer.residual else "QConv"
        macs = (layer.macs, share)
        rows.append(_row(op, shape, isa, threads, against, macs, (ours, theirs)))
    return rows


def _pairs(
    times: Times, isas: list[str]
) -> list[tuple[str, int, str, np.ndarray, np.ndarray]]:  # isa, threads, against, ours, theirs
    found = []
    for (name, threads), ours in times.items():
        isa = name.removeprefix("ours ")
        if isa not in isas:
            continue
        peers = {"ort": "ort", "openvino": f"openvino {isa}"}
        found += [
            (isa, threads, against, ours, times[peer, threads])
            for against, peer in peers.items()
            if (peer, threads) in times
        ]
    return found


def _summaries(convolutions: dict[Layer, Times], isas: list[str]) -> list[Json]:
    groups: dict[tuple[str, str, int, str], list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for layer, times in convolutions.items():
        case = "qconv-depthwise-geomean" if layer.depthwise else "qconv-geomean"
        case = "qconv-add-geomean" if layer.residual else case
        for isa, threads, against, ours, theirs in _pairs(times, isas):
            groups[case, isa, threads, against].append((ours, theirs))
    return [
        {
            **_summary(case, isa, threads, against, geomean(*zip(*pairs, strict=True))),
            "layers": len(pairs),
        }
        for (case, isa, threads, against), pairs in sorted(groups.items())
    ]


def _codebook_convs(
    isas: list[str], threads: list[int], rounds: int, roofs: dict[int, peaks.Peaks]
) -> list[Json]:
    rows = []
    pairs: dict[tuple[str, int], list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for layer in CODEBOOK_LAYERS:
        contenders = []
        for isa in isas:
            contenders += [
                Contender(f"qconv {isa}", _ours(isa, partial(chains.native, layer))),
                Contender(f"codebook {isa}", _ours(isa, partial(chains.codebook, layer))),
            ]
        times = timed(contenders, threads, rounds, chains.SHORT, chains.LONG)
        for (name, t), ours in times.items():
            isa = name.removeprefix("codebook ")
            if isa in isas:
                theirs = times[f"qconv {isa}", t]
                pairs[isa, t].append((ours, theirs))
                share = roofs[t].share(float(np.median(ours)), layer.macs, layer.moved_bytes, isa)
                shape, macs = f"{layer.network}: {layer.name}, 4-bit", (layer.macs, share)
                rows.append(_row("QCodebookConv", shape, isa, t, "qconv", macs, (ours, theirs)))
    rows += [
        _summary("codebook-conv-4bit", isa, t, "qconv", geomean(*zip(*found, strict=True)))
        for (isa, t), found in sorted(pairs.items())
    ]
    return rows


def _codebook_gemms(
    count: int, isas: list[str], threads: list[int], rounds: int, roofs: dict[int, peaks.Peaks]
) -> list[Json]:
    contenders = [
        *(
            Contender(f"nbits{block}", _ort(partial(gemms.matmulnbits, count, block=block)))
            for block in gemms.BLOCKS
        ),
        Contender("nbits-float", _ort(partial(gemms.matmulnbits, count, block=32, level=1))),
        Contender("ort-matmul-f32", _ort(partial(gemms.matmul, count))),
        Contender("matmulinteger", _ort(partial(gemms.matmulinteger, count))),
        *(Contender(f"q {isa}", _ours(isa, partial(gemms.qcodebook, count))) for isa in isas),
        *(Contender(f"f {isa}", _ours(isa, partial(gemms.codebook, count))) for isa in isas),
    ]
    times = timed(contenders, threads, rounds, GEMM_SHORT, GEMM_LONG)
    rows = []
    for (name, t), ours in times.items():
        kind, _, isa = name.partition(" ")
        if isa not in isas:
            continue
        blocks = [times[f"nbits{block}", t] for block in gemms.BLOCKS]
        peers = {
            "matmulnbits": min(blocks, key=lambda us: float(np.median(us))),
            "ort-matmul-f32": times["ort-matmul-f32", t],
            "matmulinteger": times["matmulinteger", t],
        }
        if kind == "f":  # the only one of them that computes in float from 4-bit weights, too
            peers["matmulnbits-f32"] = times["nbits-float", t]
        quantised = kind == "q"
        op = "QCodebookGemm" if quantised else "CodebookGemm"
        case = f"codebook-gemm-4bit-m{count}" + ("" if quantised else "-f32")
        shape = f"m={count} k={gemms.K} n={gemms.N}, 4-bit"
        moved = gemms.moved_bytes(count, *((1, 1) if quantised else (4, 4)))
        macs = gemms.macs(count)
        share = roofs[t].share(
            float(np.median(ours)), macs, moved, isa, "int8" if quantised else "float"
        )
        for against, theirs in peers.items():
            rows.append(_row(op, shape, isa, t, against, (macs, share), (ours, theirs)))
            rows.append(_summary(case, isa, t, against, faster(ours, theirs)))
    return rows


def _row(
    op: str,
    shape: str,
    isa: str,
    threads: int,
    against: str,
    work: tuple[int, float],  # macs, share of the roofline
    times: tuple[np.ndarray, np.ndarray],  # ours, theirs
) -> Json:
    ours, theirs = times
    us, won = float(np.median(ours)), faster(ours, theirs)
    return {
        "op": op,
        "shape": shape,
        "isa": isa,
        "threads": threads,
        "us": round(us, 3),
        "gmacs": round(work[0] / us / 1e3, 1),
        "roofline": round(work[1], 3),
        "against": against,
        "against_us": round(float(np.median(theirs)), 3),
        **_ratio(won),
    }


def _summary(case: str, isa: str, threads: int, against: str, won: Faster) -> Json:
    return {"case": case, "isa": isa, "threads": threads, "against": against, **_ratio(won)}


def _ratio(won: Faster) -> Json:
    return {"ratio": round(won.ratio, 3), "spread": [round(won.low, 3), round(won.high, 3)]}


def text(rows: list[Json]) -> str:
    """Markdown: summaries with their goals, then every layer with its ratio to each of the others."""
    lines = [
        "| case | isa | threads | against | ratio | quartiles | goal | |",
        "| --- | --- | ---: | --- | ---: | --- | ---: | --- |",
    ]
    lines += [
        f"| {r['case']} | {r['isa']} | {r['threads']} | {r['against']} | {r['ratio']:.2f} "
        f"| {r['spread'][0]:.2f}-{r['spread'][1]:.2f} "
        f"| {goals.goal(r['case'], r['against'], r['isa'], r['threads'])} | {goals.verdict(r)} |"
        for r in rows
        if "case" in r
    ]
    lines += [
        "",
        "| op | shape | isa | threads | us | GMAC/s | share of roofline | times faster than |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    layers: dict[tuple[str, str, str, int], list[Json]] = defaultdict(list)
    for r in rows:
        if "op" in r:
            layers[r["op"], r["shape"], r["isa"], r["threads"]].append(r)
    for (op, shape, isa, threads), found in layers.items():
        r = found[0]
        ratios = ", ".join(f"{f['against']} {f['ratio']:.2f}" for f in found)
        lines.append(
            f"| {op} | {shape} | {isa} | {threads} | {r['us']:.2f} | {r['gmacs']:.0f} "
            f"| {r['roofline']:.0%} | {ratios} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except MissingPeer as missing:
        raise SystemExit(str(missing)) from None
