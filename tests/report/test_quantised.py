"""What the page says of a quantised file: the ladder, where its bytes are, its CPUs, and what each layer minds."""

from __future__ import annotations

from typing import Any

import pytest

from squeeze.report import render
from tests.report.page import Page
from tests.report.story_of_a_compile import manifest

Json = dict[str, Any]  # Any: JSON


def _page(**parts: object) -> Page:
    page = Page(render(manifest() | parts))
    assert page.unclosed == []
    return page


def test_ladder_shows_the_loss_on_both_splits_the_file_and_whether_it_was_kept() -> None:
    page = _page()
    at = next(i for i, row in enumerate(page.rows) if row[0] == "rung")
    assert page.rows[at][1:3] == ["points lost, calibrate split", "points lost, evaluation split"]
    # The second rung was not measured on the evaluation split; it is inside the goal of 1.5 points.
    assert page.rows[at + 1] == ["student-4bit", "1.61", "1.13", "83.2 KB", "✗ not kept"]
    assert page.rows[at + 2] == ["student-4bit-trained", "−0.25", "–", "–", "✓ kept"]


def test_ladder_marks_the_rung_that_ships() -> None:
    found = manifest()
    found["verdict"]["picked"] = "student-4bit"
    found["verdict"]["goal"] = {"max_drop": 2.0}
    rows = Page(render(found)).rows
    at = next(i for i, row in enumerate(rows) if row[0] == "rung")
    assert rows[at + 1][0] == "student-4bit shipped"
    assert rows[at + 1][-1] == "✓ kept"


def test_ladder_counts_a_mean_squared_error_in_percent() -> None:
    found = manifest()
    for name, value in (("teacher", 0.25), ("student-4bit", 0.3)):
        measured = found["measurements"]["candidates"][name]
        found["measurements"]["candidates"][name] = measured | {
            "metric_name": "mse",
            "metric": value,
        }
    found["measurements"]["teacher"] = found["measurements"]["candidates"]["teacher"]
    found["drops"]["student-4bit"]["evaluate"] = 20.0
    rows = Page(render(found)).rows
    at = next(i for i, row in enumerate(rows) if row[0] == "rung")
    assert rows[at][1] == "growth of the error, calibrate split"
    assert rows[at + 1][1:3] == ["1.61 %", "20.00 %"]


def test_loss_that_is_not_finite_is_a_dash() -> None:
    page = _page(rungs={"student-4bit": float("inf")})
    at = next(i for i, row in enumerate(page.rows) if row[0] == "rung")
    assert page.rows[at + 1][1] == "–"


def test_bytes_add_up_to_the_file() -> None:
    page = _page()
    assert page.row("quantised weights")[1:] == ["119 KB", "84.4 %"]
    assert page.row("codebooks")[1:] == ["160 B", "0.1 %"]
    assert page.row("scales")[1:] == ["4.72 KB", "3.3 %"]
    assert page.row("biases")[1:] == ["5.2 KB", "3.7 %"]  # 1300 of 4 bytes
    assert page.row("graph, names")[1:] == ["11.9 KB", "8.5 %"]  # the rest of 141,000
    assert page.row("the file")[1:] == ["141 KB", "100.0 %"]
    assert page.row("the file in gzip")[1:] == ["118 KB", "83.6 %"]


def test_estimate_of_the_size_is_called_so_and_is_in_no_table() -> None:
    page = _page()
    assert "Estimate (paper's formula): about 107 KB" in page.text
    assert not [row for row in page.rows for cell in row if "107 KB" in cell]
    assert "7.68 bits as stored, 6.53 bits in a Huffman code, 6.49 bits entropy" in page.text


def test_remainder_is_left_out_when_a_part_is_not_known() -> None:
    size = {k: v for k, v in manifest()["size"].items() if k != "scale_bytes"}
    page = _page(size=size)
    assert "graph, names" not in page.text
    assert page.row("the file")[1] == "141 KB"


def test_float_weights_in_a_quantised_file_are_named() -> None:
    assert "are float in the shipped file" not in _page().text
    page = _page(size=manifest()["size"] | {"float_weights": ["gru.w", "gru.r"]})
    assert "float in the shipped file: gru.w, gru.r." in page.text


def test_cpus_say_how_the_number_is_known() -> None:
    page = _page()
    assert page.row("x86 with VNNI")[1:] == ["measured", "93.41 %", "0 of 2,000"]
    assert page.row("x86 without VNNI")[1:] == ["emulated", "93.36 %", "17 of 2,000"]
    assert "emulated: run here on a graph that computes what such a CPU computes" in page.text
    assert "stem_quant (3 of 8 channels)" in page.text


@pytest.mark.parametrize("source", ["proven equal", "not checked"])
def test_cpu_without_a_run_of_its_own_says_why(source: str) -> None:
    rows = [{"cpu": "x86 without VNNI", "source": source}]
    page = _page(cpus={"cpus": rows, "layers": []})
    assert page.row("x86 without VNNI") == ["x86 without VNNI", source, "–"]
    assert f"{source}: " in page.text
    assert "other answers" not in page.text
    assert "can overflow without VNNI" not in page.text


def test_sensitivity_shows_divergence_and_bytes_of_each_layer() -> None:
    page = _page()
    stem = ["stem", "288", "0.0022", "0.0116", "0.6713", "784 B", "288 B", "244 B", "204 B"]
    assert stem in page.rows
    assert page.row("block")[2] == "< 0.0001"
    assert "stem minds most" in page.text
    assert "KL divergence" in page.text


def test_sensitivity_falls_back_to_the_error_when_outputs_are_no_classes() -> None:
    rows = [row | {"divergence": dict.fromkeys("8432", 0.0)} for row in manifest()["sensitivity"]]
    page = _page(sensitivity=rows)
    assert page.row("block")[2:5] == ["4.3 %", "9.2 %", "74.3 %"]
    assert "KL divergence" not in page.text


def test_sensitivity_shows_the_bits_that_ship_when_they_are_known() -> None:
    assert "shipped bits" not in _page().text
    found = manifest()
    found["verdict"]["picked"] = "student-4bit"
    found["rung_bits"] = {"student-4bit": {"block": 4}}
    page = Page(render(found))
    assert page.row("block")[1] == "4"
    assert next(r for r in page.rows if len(r) == 10 and r[0] == "stem")[1] == "8"


def test_float_file_has_none_of_it() -> None:
    text = _page(sensitivity=[], rungs={}, cpus=None, size=None).text
    for heading in ("ladder", "Where the bytes are", "Checked for these CPUs", "layer minds"):
        assert heading not in text


def test_names_in_the_new_parts_never_become_elements() -> None:
    hostile = "<script>x</script>"
    found = manifest()
    found["sensitivity"][0]["name"] = found["cpus"]["cpus"][0]["cpu"] = hostile
    found["cpus"]["layers"][0]["name"] = found["cpus"]["cpus"][0]["source"] = hostile
    found["rungs"][hostile] = 1.0
    found["size"]["float_weights"] = found["calib"]["assumed"] = [hostile]
    found["calib"]["name"] = "synthetic"
    page = Page(render(found))
    assert page.unclosed == []
    assert page.count("script") == 0
    assert page.text.count(hostile) >= 8


def test_page_is_made_when_rows_are_empty() -> None:
    _page(
        sensitivity=[{}, {"name": "stem", "bytes": None}],
        rungs={"student-4bit": None},
        cpus={"cpus": [{}], "layers": [{}]},
        size={"file_bytes": 10},
    )


def test_verdict_says_that_no_real_data_was_given() -> None:
    said = "no data was given; the accuracy on real data is unknown"
    calib: Json = manifest()["calib"] | {"name": "synthetic", "assumed": [said]}
    html = render(manifest() | {"calib": calib})
    verdict, _, rest = html.partition("Teacher and student")
    assert f"Without real data:</strong> {said}" in verdict
    assert "Without real data" not in rest
    assert "Without real data" not in render(manifest())


def test_verdict_of_synthetic_data_warns_without_an_explanation() -> None:
    page = _page(calib={"name": "synthetic"})
    assert "the accuracy on real data is unknown" in page.text
