"""Rows of the table of jobs, with little to type, and the table as a reader of HTML finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from pytest_arena.records.manifest import JobEntry, ShardEntry
from pytest_arena.reports.html.job_row import JobRow
from pytest_arena.reports.html.stored_job import StoredJob


def row(label: str, verdict: str = "pass", attempt: int = 1, **changes: Any) -> JobRow:
    """Return the row of a job; *changes* are to its fields."""
    folder = label if attempt == 1 else f"{label}.{attempt}"
    empty = JobRow.of(StoredJob(Path("nowhere") / folder, label, attempt, None, JobEntry()))
    return replace(empty, verdict=verdict, **changes)


def shard(whole: str, index: int, count: int = 2, attempt: int = 1) -> JobRow:
    """Return the row of a shard that ran."""
    entry = ShardEntry(index, count, whole, f"jobs.yaml::rollout[{whole}]")
    return row(f"{whole}-shard{index}of{count}", "none", attempt, shard=entry)


@dataclass
class ShownRow:
    """A row of the table in a page."""

    attributes: Mapping[str, str]
    cells: list[str] = field(default_factory=list)
    """Their texts."""
    elements: list[str] = field(default_factory=list)
    """Tags in it, each with its class."""

    @property
    def name(self) -> str:
        """The job's folder, and what is said of it in its cell."""
        return self.cells[0]


class ShownTable(HTMLParser):
    """The table of jobs in a page; closing tags that HTML lets one omit may be missing."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[ShownRow] = []
        """Below the headings."""
        self._inside = self._in_cell = False
        self._head = ShownRow({})
        self.feed(page)
        self.close()

    @property
    def headings(self) -> Sequence[str]:
        """Texts of the headings."""
        return [cell.partition(" 0%")[0] for cell in self._head.cells]

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "table":
            self._inside = attributes.get("class") == "jobs"
        if not self._inside:
            return
        if tag == "tbody":
            self._head = self.rows.pop()
        if tag == "tr":
            self.rows.append(ShownRow(attributes))
        elif tag in ("th", "td"):
            self.rows[-1].cells.append("")
        elif self.rows:
            self.rows[-1].elements.append(f"{tag}.{attributes.get('class', '')}")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside and self.rows and self.rows[-1].cells:
            cells = self.rows[-1].cells
            cells[-1] = " ".join([*cells[-1].split(), *data.split()])
