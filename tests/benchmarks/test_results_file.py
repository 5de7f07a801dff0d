from __future__ import annotations

import json
import os
from pathlib import Path

from benchmarks import host, results_file


def test_a_run_replaces_rows_and_facts_of_its_own_host_only() -> None:
    before = {
        "hosts": {"a": {"cores": 1}, "b": {"cores": 4}},
        "rows": [{"host": "a", "us": 1}, {"host": "a", "us": 2}, {"host": "b", "us": 3}],
    }
    after = results_file.replace_rows(before, "a", {"cores": 2}, [{"us": 9}])
    assert after["hosts"] == {"a": {"cores": 2}, "b": {"cores": 4}}
    assert after["rows"] == [{"host": "a", "us": 9}, {"host": "b", "us": 3}]
    assert len(before["rows"]) == 3


def test_a_file_is_made_and_then_kept_up(tmp_path: Path) -> None:
    path = tmp_path / "results" / "kernels.json"
    results_file.write(path, "a command", [{"us": 1.5}, {"us": 2}], run={"peaks": []})
    document = json.loads(path.read_text(encoding="utf-8"))
    document["hosts"]["another machine"] = {"cores": 4}
    document["rows"].append({"host": "another machine", "us": 3})
    path.write_text(json.dumps(document), encoding="utf-8")

    results_file.write(path, "a command", [{"us": 7}])
    document = json.loads(path.read_text(encoding="utf-8"))
    here = host.describe()["cpu"]
    assert set(document["hosts"]) == {here, "another machine"}
    assert sorted((row["host"] == here, row["us"]) for row in document["rows"]) == [
        (False, 3),
        (True, 7),
    ]


def test_one_cpu_with_other_instructions_is_another_host(tmp_path: Path) -> None:
    path, mine = tmp_path / "kernels.json", host.describe()
    other = {**mine, "isa": [*mine["isa"], "another_one"]}
    rows = [{"host": mine["cpu"], "us": 1}]
    path.write_text(json.dumps({"hosts": {mine["cpu"]: other}, "rows": rows}), encoding="utf-8")
    for us in (2, 3):
        results_file.write(path, "a command", [{"us": us}])
    document = json.loads(path.read_text(encoding="utf-8"))
    here = f"{mine['cpu']}, {mine['isa'][-1]}"
    assert set(document["hosts"]) == {mine["cpu"], here}
    assert [(row["host"], row["us"]) for row in document["rows"]] == [(mine["cpu"], 1), (here, 3)]


def test_cores_are_those_of_the_machine_also_where_the_run_is_pinned() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        facts = host.describe()
    finally:
        os.sched_setaffinity(0, allowed)
    assert (facts["cores"], facts["pinned_cores"]) == (os.cpu_count(), 1)


def test_a_run_of_one_case_replaces_that_case_alone() -> None:
    before = {
        "hosts": {"a": {"cores": 1, "command": "all"}, "b": {"cores": 4}},
        "rows": [
            {"host": "a", "case": "x", "us": 1},
            {"host": "a", "case": "y", "us": 2},
            {"host": "b", "case": "y", "us": 3},
        ],
    }
    after = results_file.replace_rows(before, "a", {"command": "y"}, [{"case": "y", "us": 9}], "y")
    assert after["hosts"] == {
        "a": {"cores": 1, "command": "all", "cases": {"y": {"command": "y"}}},
        "b": {"cores": 4},
    }
    assert sorted((row["host"], row["case"], row["us"]) for row in after["rows"]) == [
        ("a", "x", 1),
        ("a", "y", 9),
        ("b", "y", 3),
    ]


def test_a_run_of_everything_keeps_a_case_that_it_does_not_make() -> None:
    before = {
        "hosts": {"a": {"cases": {"y": {"command": "y"}, "z": {"command": "z"}}}},
        "rows": [
            {"host": "a", "case": "old", "us": 1},
            {"host": "a", "case": "y", "us": 2},
            {"host": "a", "case": "z", "us": 3},
        ],
    }
    rows = [{"case": "x", "us": 8}, {"case": "y", "us": 9}]
    after = results_file.replace_rows(before, "a", {"command": "all"}, rows)
    assert after["hosts"] == {"a": {"command": "all", "cases": {"z": {"command": "z"}}}}
    assert sorted((row["case"], row["us"]) for row in after["rows"]) == [
        ("x", 8),
        ("y", 9),
        ("z", 3),
    ]


def test_a_host_with_one_case_says_what_machine_it_is() -> None:
    facts = {"cpu": "a", "isa": ["avx2"], "cores": 2, "command": "y"}
    after = results_file.replace_rows({}, "a", facts, [{"case": "y"}], "y")
    machine = {"cpu": "a", "isa": ["avx2"], "cores": 2}
    assert after["hosts"] == {"a": {**machine, "cases": {"y": facts}}}
    assert results_file.name_of(after, machine) == "a"
