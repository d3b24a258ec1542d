"""Cells of tables that the terminal, the summary and the pages share."""

from __future__ import annotations

from pytest_arena.records.table_cells import episodes_cell, interval_cell, rate_cell


def test_a_rate_with_and_without_its_interval() -> None:
    assert rate_cell(5 / 6, (0.552, 0.953)) == "83.3% [55.2%, 95.3%]"
    assert rate_cell(1.0, None) == "100.0%"
    assert rate_cell(None, (0.0, 1.0)) == "-"
    assert interval_cell(None) == ""


def test_episodes_of_those_that_were_asked_for() -> None:
    assert episodes_cell(12, 30) == "12/30"
    assert episodes_cell(12, 0) == "12"
