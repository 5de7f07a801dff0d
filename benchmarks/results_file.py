"""A results file that collects several machines: a run replaces the rows of its own host and keeps the others'.

A run of one case replaces that case's rows alone. What is known of such a run (versions, command, ...) then stands in
`hosts[name]["cases"][case]`, and a later run of everything leaves a case that it has no rows of as it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import host

Json = dict[str, Any]  # Any: JSON

MACHINE = ("cpu", "isa", "cores")  # of `host.describe`: what holds for every run there


def replace_rows(
    document: Json, name: str, facts: Json, rows: list[Json], case: str | None = None
) -> Json:
    """`document` with `rows` (each gets its `host` key) and `facts` in place of what host `name` had there, of which
    only `case` is replaced where one is named."""
    known = document.get("hosts", {}).get(name, {})
    made = {row.get("case") for row in rows} if case is None else {case}
    apart = {other: f for other, f in known.get("cases", {}).items() if other not in made}
    if case is None:
        own = {**facts, **({"cases": apart} if apart else {})}
    else:
        machine = {key: facts[key] for key in MACHINE if key in facts}
        own = {**machine, **known, "cases": {**apart, case: facts}}

    def stays(row: Json) -> bool:
        if row["host"] != name:
            return True
        return row.get("case") in apart if case is None else row.get("case") != case

    hosts = {**document.get("hosts", {}), name: own}
    kept = [row for row in document.get("rows", []) if stays(row)]
    return {
        "schema": 1,
        "hosts": {key: hosts[key] for key in sorted(hosts)},
        "rows": sorted(
            kept + [{"host": name, **row} for row in rows], key=lambda row: str(row["host"])
        ),
    }


def name_of(document: Json, described: Json) -> str:
    """What this host is called in `document`: its CPU, and its best instruction set where that CPU is in the file with
    others. Virtual machines hide some under one name."""
    cpu = str(described["cpu"])
    known = document.get("hosts", {}).get(cpu)
    if known is None or known.get("isa") == described["isa"]:
        return cpu
    return f"{cpu}, {described['isa'][-1]}"


def write(
    path: Path, command: str, rows: list[Json], *, case: str | None = None, **facts: Json
) -> Json:
    """Puts this machine's rows (those of `case` alone, if it is named) into the file at `path`, with facts about the
    run; returns the whole document."""
    described = host.describe()
    document = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    about = {**described, "versions": host.versions(), "command": command, **facts}
    document = replace_rows(document, name_of(document, described), about, rows, case)
    path.parent.mkdir(exist_ok=True)
    lines = [json.dumps(row) for row in document["rows"]]
    text = json.dumps({**document, "rows": []}, indent=1)
    # A row is a line: a run then shows in a diff as the rows that it changed.
    text = text.replace('"rows": []', '"rows": [\n  ' + ",\n  ".join(lines) + "\n ]")
    path.write_text(text + "\n", encoding="utf-8")
    return document
