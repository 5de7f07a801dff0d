"""The screen of `squeeze quantize`: accuracy, speed and size before and after, what else changed, other CPUs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from squeeze.console.accuracy import Accuracy, accuracy_rows, value_of
from squeeze.console.ratio import shown_ratio, shown_spread
from squeeze.console.table import show_table
from squeeze.console.text import shown
from squeeze.interface import Interface
from squeeze.quantities import show_bytes, show_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

Json = dict[str, Any]  # Any: JSON

SHOWN_NODES = 6


def show_quantised(console: Console, found: Json) -> None:
    """A table, then lines: bytes, other CPUs, what was assumed, what is float, the interface, what is not gained."""
    metric, size = found["metric"], found["bytes"]
    rows = accuracy_rows(
        metric["name"],
        metric["n"],
        Accuracy(metric["before"]),
        Accuracy(metric["after"], metric.get("interval")),
        outputs=found.get("outputs") or (),
        goal="",
    )
    rows.append(_speed(found))
    if stock := found.get("stock_speed"):
        rows.append(("stock runtime", "", "", shown_ratio(stock), "where our library is absent"))
    before, after = show_bytes(size["before"]), show_bytes(size["after"])
    rows.append(("file", before, after, shown_ratio(size["before"] / size["after"]), ""))
    show_table(console, ("", "before", "after", "change", ""), rows)
    console.print()
    for line in _lines(found):
        console.print(shown(line), soft_wrap=True)


def _speed(found: Json) -> tuple[str, str, str, str, str]:
    """Latency, or what is counted on a device that gives none."""
    latency, work = found["latency_ms"], found.get("work")
    ratio = shown_ratio(found["speed"])
    if latency["after"] is None and work:
        before, after = show_bytes(work["before"]), show_bytes(work["after"])
        return work["what"], before, after, ratio, "of the teacher: its rough int8 form"
    spread = found.get("speed_spread")
    before, after = show_ms(latency["before"]), show_ms(latency["after"])
    return "latency p50", before, after, ratio, shown_spread(spread) if spread else ""


def _lines(found: Json) -> list[str]:
    changes = [str(change) for change in (found.get("interface") or {}).get("changes", ())]
    lines = [found[key] for key in ("at_8_bits", "float_arithmetic") if found.get(key)]
    if account := found["size"]:
        lines.append(_weights(account))
    several = len(found.get("outputs") or ()) > 1
    lines += [_cpu(row, several=several) for row in (found["cpus"] or {}).get("cpus", [])]
    lines += [f"assumed: {text}" for text in found["assumed"]]
    kinds = list(found.get("no_int8", ()))
    if len(kinds) > SHOWN_NODES:
        kinds[SHOWN_NODES:] = [f"{len(kinds) - SHOWN_NODES} more kinds (--json names them)"]
    if still_float := [*_freed(found.get("float", ())), *kinds]:
        lines.append(f"float: {'; '.join(still_float)}")
    # Last is what decides whether the file is used: what it takes otherwise than the model, and what it does not gain.
    lines += [*changes, _interface(found["interface"])] if found.get("interface") else changes
    lines += [found["not_faster"]] if found.get("not_faster") else []
    out, model = (shlex.quote(str(found[key])) for key in ("out", "model"))
    against = f" --against {model}" if found.get("model_runs", True) else ""
    shape = _shape(found.get("interface"))
    lines.append(f"{found['out']} · next: squeeze profile {out}{against}{shape}")
    return lines


def _cpu(row: Json, *, several: bool) -> str:
    """How it is known what the file scores on a CPU; of several outputs the judged one is named beside its number."""
    said = f"{row['cpu']}: {row['source']}"
    if "metric" not in row:
        return said
    whose = f"{row['output']} " if several else ""
    return f"{said}, {whose}{value_of(row['metric_name'], row['metric'])}"


def _freed(nodes: Sequence[Json]) -> list[str]:
    """What accuracy control left float, dearest first; of many nodes only the first ones."""
    said = [f"{one['name']} ({one['why']})" for one in nodes[:SHOWN_NODES]]
    more = len(nodes) - len(said)
    return [*said, f"{more} more nodes (--json names them)"] if more > 0 else said


def _weights(account: Json) -> str:
    """Where the bytes of weights are; of few bits also what is left to gain."""
    said = f"weights: {account['quantised']:,} in {show_bytes(account['index_bytes'])}"
    few = account["codebook_bytes"]
    if few:
        said += f", codebooks {show_bytes(few)}"
    said += f", scales {show_bytes(account['scale_bytes'])}"
    return said + (f"; Huffman would take {account['mean_bits']:.2f} bits a weight" if few else "")


def _interface(found: Json) -> str:
    """What the file takes and gives, so that nobody has to open it to know."""
    known = Interface.from_json(found)
    inputs, outputs = (", ".join(map(str, specs)) for specs in (known.inputs, known.outputs))
    return f"takes {inputs} · gives {outputs}"


def _shape(found: Json | None) -> str:
    """The option that says sizes which the file leaves free, for a file of one input."""
    known = None if found is None else Interface.from_json(found)
    if known is None or len(known.inputs) != 1 or not known.free:
        return ""
    (shape,) = known.run_shapes.values()
    return f" --shape {'x'.join(map(str, shape))}"
