"""The table and the chart of the comparison say what the figures say, and bear it if some lack."""

from __future__ import annotations

from xml.etree import ElementTree

from bench import chart, compare_clusters, report
from bench.comparison import MEASURES, Row

CALL = next(measure for measure in MEASURES if measure.name == "call")
MEMORY = next(measure for measure in MEASURES if measure.name == "memory")


def rows() -> list[Row]:
    ours, other, absent = Row("fauxtp"), Row("other", notes=["a note"]), Row("absent")
    ours.note("version", "1.0")
    for value in (2e-6, 4e-6, 3e-6):
        ours.note("call", value)
        other.note("call", value * 4.5)
    ours.note("memory", 2_000)
    other.note("memory", None)
    absent.state = "not to be had"
    return [ours, other, absent]


def test_the_table_has_medians_ratios_and_dashes() -> None:
    header, ours, other, absent = report.table(rows())
    call, memory = header.index("call"), header.index("memory")
    assert (ours[0], ours[call], ours[memory]) == ("fauxtp 1.0", "3.0 µs", "2.0 kB")
    assert (other[0], other[call], other[memory]) == ("other", "14 µs (× 4.5)", "—")
    assert absent[0] == "absent: not to be had"
    assert set(absent[1:]) == {"—"}


def test_values_are_shown_with_units() -> None:
    values = (21.4e-9, 999.4e-9, 999.6e-9, 2.44e-6, 9.96e-6, 0.00123, 0.5, 12.3)
    shown = [CALL.text(value) for value in values]
    assert shown == ["21 ns", "999 ns", "1.0 µs", "2.4 µs", "10 µs", "1.2 ms", "500 ms", "12 s"]
    assert MEMORY.text(5_937.3) == "5.9 kB"


def test_what_failed_in_a_later_round_has_no_figures() -> None:
    failed = rows()[1]
    failed.state = "failed"
    assert failed.middle(CALL) is None
    assert report.cell(failed, rows()[0], CALL) == "—"


def test_the_chart_has_a_dot_for_each_figure_and_a_dash_for_each_that_lacks() -> None:
    drawn = ElementTree.fromstring(chart.draw(rows()))
    kinds = [element.tag.rpartition("}")[2] for element in drawn.iter()]
    texts = [element.text for element in drawn.iter() if element.text]
    assert kinds.count("circle") == 3
    assert texts.count("—") == len(MEASURES) * 3 - 3
    assert {"3.0 µs", "14 µs", "2.0 kB", "fauxtp", "other", "absent"} <= set(texts)


def test_a_larger_figure_is_further_to_the_right() -> None:
    drawn = ElementTree.fromstring(chart.draw(rows()))
    ours, other, _ = (
        float(dot.attrib["cx"]) for dot in drawn.iter() if dot.tag.endswith("circle")
    )
    assert ours < other


def test_the_page_has_the_table_and_the_notes() -> None:
    page = report.document(rows(), 5)
    assert "| fauxtp 1.0 |" in page
    assert "- other: a note." in page


def test_the_section_about_clusters_is_kept_by_whoever_writes_the_rest() -> None:
    page = report.document(rows(), 3)
    assert report.of_clusters(page) == ""
    section = compare_clusters.section([Row("fauxtp"), Row("other", notes=["a note"])], 5)
    assert report.of_clusters(page + section) == section
    assert section.startswith(f"\n{report.CLUSTERS}\n\n")
    assert "- other: a note.\n" in section
