"""The log's form was seen with onnxruntime-qnn 2.7.0; what is not as expected is not known."""

from __future__ import annotations

from squeeze.runtimes.hexagon_report import Report, blamed, report_of

LOG = """
2026-11-29 08:25:27.2 [V:onnxruntime:Default, qnn.cc:519 QnnLogging] vtcm.cc:180:VTCM: total_sz=8388608, sz=8388608
2026-11-29 08:25:27.3 [V:onnxruntime:Default, qnn.cc:519 QnnLogging] spill_bytes=10

2026-11-29 08:25:27.4 [V:onnxruntime:Default, qnn.cc:519 QnnLogging] fill_bytes=20
2026-11-29 08:25:27.5 [V:onnxruntime:Default, qnn.cc:519 QnnLogging] write_total_bytes=2048
2026-11-29 08:25:27.6 [V:onnxruntime:Default, qnn.cc:519 QnnLogging] read_total_bytes=442368
"""


def test_numbers_are_read() -> None:
    assert report_of(LOG) == Report(8388608, 442368, 2048, 10, 20)


def test_graphs_of_one_model_are_summed_and_the_vtcm_is_not() -> None:
    assert report_of(LOG + LOG) == Report(8388608, 884736, 4096, 20, 40)


def test_a_number_that_is_missing_or_no_number_is_unknown() -> None:
    said = LOG.replace("read_total_bytes=442368", "read_total_bytes=many").replace("spill_", "")
    assert report_of(said) == Report(8388608, None, 2048, None, 20)
    assert report_of("") == Report()


def test_a_number_that_is_missing_for_one_of_two_graphs_is_unknown() -> None:
    assert report_of(LOG + "\nspill_bytes=5").dram_read_bytes is None


def test_node_that_is_blamed_is_read() -> None:
    said = 'x QnnLogging]  <E> "cumsum" generated: could not create op\n'
    assert blamed(said) == ("cumsum", "could not create op")
    assert blamed(LOG) is None
