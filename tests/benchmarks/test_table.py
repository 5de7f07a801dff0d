from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import table


def _row(case: str, run: str, **values: object) -> dict[str, Any]:  # Any: as in the results
    return {
        "case": case,
        "run": run,
        "metric": 90.26,
        "metric_name": "top1",
        "n": 10000,
        "latency_p50_ms": 2.0,
        "bytes": 3_436_814,
        "params": 853_018,
        "macs": 125_485_706,
        **values,
    }


RESULTS = {
    "schema": 1,
    "host": {"cpu": "Xeon", "isa": ["x86_avx2", "x86_amx"]},
    "versions": {"onnxruntime": "1.31.1"},
    "command": "make bench",
    "rows": [
        _row("b", "squeeze", metric=89.01, latency_p50_ms=0.25, bytes=171_841, params=75_000),
        _row("b", "teacher-fp32-ort"),
        _row("a", "squeeze", params=None),
    ],
}


def test_table_has_factors_against_the_teacher_of_the_same_case() -> None:
    lines = table.table(RESULTS).splitlines()
    assert lines[0] == "**b**: top1 on 10,000 samples"
    assert lines[4] == (
        "| squeeze | 89.01 (-1.25) | 0.250 ms (8.0x) | 172 kB (20.0x) | 75,000 | 125.49 M |"
    )
    assert lines[5] == "| teacher-fp32-ort | 90.26 | 2.000 ms | 3,437 kB | 0.85 M | 125.49 M |"


def test_table_without_a_teacher_has_no_factors_and_a_dash_for_what_is_unknown() -> None:
    last = [line for line in table.table(RESULTS).splitlines() if line.startswith("| squeeze")][-1]
    assert last == "| squeeze | 90.26 | 2.000 ms | 3,437 kB | – | 125.49 M |"


def test_table_says_machine_versions_and_command() -> None:
    assert table.table(RESULTS).endswith(
        "Host: cpu Xeon, isa x86_avx2 x86_amx. Versions: onnxruntime 1.31.1. Made by `make bench`.\n"
    )


def test_write_puts_the_table_beside_the_results(tmp_path: Path) -> None:
    path = tmp_path / "end_to_end.json"
    path.write_text(json.dumps(RESULTS), encoding="utf-8")
    assert table.write(path) == tmp_path / "end_to_end.md"
    assert (tmp_path / "end_to_end.md").read_text(encoding="utf-8") == table.table(RESULTS)
