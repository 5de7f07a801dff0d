"""A results file that collects several machines: a run replaces the rows of its own host and keeps the others'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import host

Json = dict[str, Any]  # Any: JSON


def replace_rows(document: Json, name: str, facts: Json, rows: list[Json]) -> Json:
    """`document` with `rows` (each gets its `host` key) and `facts` in place of what host `name` had there."""
    kept = [row for row in document.get("rows", []) if row["host"] != name]
    hosts = {**document.get("hosts", {}), name: facts}
    own = [{"host": name, **row} for row in rows]
    return {
        "schema": 1,
        "hosts": {key: hosts[key] for key in sorted(hosts)},
        "rows": sorted(kept + own, key=lambda row: str(row["host"])),
    }


def name_of(document: Json, described: Json) -> str:
    """What this host is called in `document`: its CPU, and its best instruction set where that CPU is in the file with
    others. Virtual machines hide some under one name."""
    cpu = str(described["cpu"])
    known = document.get("hosts", {}).get(cpu)
    if known is None or known.get("isa") == described["isa"]:
        return cpu
    return f"{cpu}, {described['isa'][-1]}"


def write(path: Path, command: str, rows: list[Json], **facts: Json) -> Json:
    """Puts this machine's rows into the file at `path`, with facts about the run; returns the whole document."""
    described = host.describe()
    document = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    about = {**described, "versions": host.versions(), "command": command, **facts}
    document = replace_rows(document, name_of(document, described), about, rows)
    path.parent.mkdir(exist_ok=True)
    lines = [json.dumps(row) for row in document["rows"]]
    text = json.dumps({**document, "rows": []}, indent=1)
    # A row is a line: a run then shows in a diff as the rows that it changed.
    text = text.replace('"rows": []', '"rows": [\n  ' + ",\n  ".join(lines) + "\n ]")
    path.write_text(text + "\n", encoding="utf-8")
    return document
