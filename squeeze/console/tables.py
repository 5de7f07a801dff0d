"""Terminal views of what was measured or found: profile, inspect, calib, doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from squeeze.console.terminal import show_table
from squeeze.quantities import show_bytes, show_ms

if TYPE_CHECKING:
    from rich.console import Console

Json = dict[str, Any]  # Any: JSON


def show_nested(console: Console, value: Any, indent: int = 0) -> None:  # Any: JSON
    """Nested JSON as indented words."""
    for key, item in value.items():
        pad = "  " * indent
        if isinstance(item, dict):
            console.print(Text(f"{pad}{key}", style="bold"))
            show_nested(console, item, indent + 1)
        elif isinstance(item, list):
            console.print(Text(f"{pad}{key}: {', '.join(map(str, item)) or '-'}"))
        else:
            console.print(Text(f"{pad}{key}: {'-' if item is None else item}"))


def show_inspection(console: Console, found: Json) -> None:
    """A package's manifest in one screen, or a model file's contents."""
    if found["kind"] == "model":
        show_nested(console, found)
        return
    verdict, arch = found["verdict"], found["arch"]
    rows = [
        ("verdict", ("goal met: " if verdict["met"] else "goal missed: ") + verdict["sentence"]),
        ("teacher", f"{found['teacher']['source']} · {found['teacher']['digest'][:12]}"),
        ("architecture", f"{arch['family']} {arch['params']}" if arch else "the teacher's own"),
        ("target", found["target"]["name"]),
        ("data", f"{found['calib']['name']} · {found['calib']['modality']}"),
        ("assumed", "; ".join(found["calib"]["assumed"]) or "nothing"),
        ("input", _tensor(found["signature"]["input"])),
        ("output", _tensor(found["signature"]["output"])),
        ("preprocess", str(found["signature"]["preprocess"])),
        ("measured on", f"{found['host']['cpu']} · {', '.join(found['host']['isa'])}"),
        ("artifact", found["artifact_digest"]),
    ]
    if account := found.get("size"):
        stored = (
            f"{account['quantised']:,} quantised, {account['stored_bits']:.2f} bits each as stored"
        )
        left = ", ".join(account["float_weights"])
        rows.append(("weights", f"{stored}; float: {left}" if left else stored))
    if proof := found.get("cpus"):
        rows.append(("other CPUs", ", ".join(f"{c['cpu']}: {c['source']}" for c in proof["cpus"])))
    show_table(console, ("", ""), rows)
    console.print()
    steps = [(s["name"], s["status"], s["summary"]) for s in found["steps"]]
    show_table(console, ("step", "status", "what came out"), steps)


def show_profile(console: Console, found: Json) -> None:
    """Latency, size, and where the time goes."""
    latency = found["latency"]
    rows = [
        (
            "latency p50 / p90 / p99",
            " / ".join(show_ms(latency[p]) for p in ("p50_ms", "p90_ms", "p99_ms")),
        ),
        ("runs, threads", f"{latency['runs']}, {found['threads']}"),
        ("peak memory", show_bytes(found["peak_ram_bytes"]) if found["peak_ram_bytes"] else "-"),
        (
            "file / weights",
            f"{show_bytes(found['file_bytes'])} / {show_bytes(found['weight_bytes'])}",
        ),
        ("params, MACs", f"{found['params']:,}, {found['macs']:,}"),
        ("speed", f"{found['gmacs_per_s']:.0f} GMAC/s"),
        ("host", f"{found['host']} · {', '.join(found['isa'])}"),
    ]
    if against := found.get("against"):
        ratio = against["speedup"]
        rows.append(
            (
                f"against {against['model']}",
                f"{ratio['median']:.2f}x its speed ({ratio['p10']:.2f} to {ratio['p90']:.2f}), interleaved; "
                f"it has p50 {show_ms(against['latency']['p50_ms'])}",
            )
        )
    show_table(console, ("measured", ""), rows)
    console.print()
    ops = [
        (op["op"], str(op["count"]), f"{op['us']:.1f} us", f"{100 * op['share']:.1f} %")
        for op in found["ops"]
    ]
    show_table(console, ("op", "nodes", "time", "share"), ops)


def show_lowered(console: Console, found: Json) -> None:
    """What was lowered and what was left, then speed, outputs and size before and after."""
    for note in found["notes"]:
        word = "" if note["kept"] else "left"
        what = note["name"].removeprefix("lower ")
        console.print(Text(f"{word:<6}{what:<20}{note['why']}"), soft_wrap=True)
    console.print()
    rows: list[tuple[str, ...]] = []
    if speed := found["speed"]:
        where = f"{_threads(speed['threads'])}, {speed['runs']} interleaved runs"
        before, after = show_ms(speed["before_ms"]), show_ms(speed["after_ms"])
        rows.append(("latency p50", before, after, f"{1 / speed['ratio']:.2f}x", where))
    size = found["bytes"]
    before, after = show_bytes(size["before"]), show_bytes(size["after"])
    rows.append(("file", before, after, f"{size['before'] / size['after']:.2f}x", ""))
    show_table(console, ("", "before", "after", "", ""), rows)
    console.print()
    if (moved := found["difference"]) is None:
        outputs = "outputs: not compared"
    else:
        outputs = (
            f"outputs: {moved['max_steps']:.2g} steps apart at most, {100 * moved['share_moved']:.1f} % by more "
            f"than half a step (a step of {moved['step_of']}; {moved['random_inputs']} random inputs). "
            f"The runtime's own optimiser: {moved['optimiser_max_steps']:.2g} steps"
        )
    console.print(Text(outputs), soft_wrap=True)
    if found["not_measured"]:
        console.print(Text(f"speed not measured: {found['not_measured']}"), soft_wrap=True)
    after = f"next: squeeze profile {found['out']} --against {found['model']}"
    console.print(Text(f"{found['out']} · {after}"), soft_wrap=True)


def show_quantised(console: Console, found: Json) -> None:
    """Accuracy, speed and size before and after; where the bytes are; other CPUs."""
    metric, latency, size = found["metric"], found["latency_ms"], found["bytes"]
    rows = [
        (
            f"{metric['name']}, n={metric['n']:,}",
            f"{metric['before']:.2f}",
            f"{metric['after']:.2f}",
            f"{0.0 - found['drop']:+.2f}",
        ),
        (
            "latency p50",
            show_ms(latency["before"]),
            show_ms(latency["after"]),
            f"{found['speed']:.2f}x",
        ),
        (
            "file",
            show_bytes(size["before"]),
            show_bytes(size["after"]),
            f"{size['before'] / size['after']:.1f}x",
        ),
    ]
    show_table(console, ("", "before", "after", ""), rows)
    console.print()
    if account := found["size"]:
        text = (
            f"weights: {account['quantised']:,} in {show_bytes(account['index_bytes'])}, codebooks "
            f"{show_bytes(account['codebook_bytes'])}, scales {show_bytes(account['scale_bytes'])}; "
            f"Huffman would take {account['mean_bits']:.2f} bits a weight"
        )
        console.print(Text(text), soft_wrap=True)
    for row in (found["cpus"] or {}).get("cpus", []):
        value = f", {row['metric']:.2f}" if "metric" in row else ""
        console.print(Text(f"{row['cpu']}: {row['source']}{value}"), soft_wrap=True)
    for text in found["assumed"]:
        console.print(Text(f"assumed: {text}"), soft_wrap=True)
    after = f"next: squeeze profile {found['out']} --against {found['model']}"
    console.print(Text(f"{found['out']} · {after}"), soft_wrap=True)


def _threads(count: int) -> str:
    return f"{count} thread" + ("s" if count > 1 else "")


def show_doctor(console: Console, found: Json) -> None:
    """What this machine has; what is missing says what to do."""
    rows = [
        ("ok" if e["ok"] else "WARN", e["name"], e["found"], e.get("hint") or "")
        for e in found["entries"]
    ]
    show_table(console, ("", "what", "found", "do"), rows)


def _tensor(spec: Json) -> str:
    return f"{spec['name']} {spec['dtype']} [n, {', '.join(map(str, spec['shape']))}]"
