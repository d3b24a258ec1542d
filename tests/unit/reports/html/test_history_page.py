"""The page of the runs in a folder, as text."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup

from pytest_arena.records.files import write_json
from pytest_arena.records.schema import Status
from pytest_arena.reports.html import history_page
from pytest_arena.reports.html.history_page import OURS, write_history
from tests.made_up_runs import made_up_job, make_up_run


class Read(HTMLParser):
    """What a page says: its links, the texts of cells by row, the class of each mark."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.rows: list[list[str]] = []
        self.paths: dict[str, list[dict[str, Any]]] = {}
        """Class of a path in a picture of rates -> attributes of each; of dots the first class."""
        self._cell = False
        self._rates = False
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        found = dict(attrs)
        if "style" in found or any(name.startswith("on") for name in found):
            raise AssertionError(f"the page's policy forbids {found}")
        if tag == "a":
            self.links.append(found["href"])
        elif tag == "tr":
            self.rows.append([])
        elif tag == "svg":
            self._rates = found["class"] == "rates"
        elif tag in ("path", "rect") and self._rates:
            self.paths.setdefault(found["class"], []).append(found)
        self._cell = tag in ("td", "th") or (self._cell and tag not in ("tr", "table", "section"))
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("tr", "table", "thead")

    def handle_data(self, data: str) -> None:
        if self._cell and self.rows:
            self.rows[-1][-1] += data.strip()


def page_of(tmp_path: Path, *jobs: dict[str, Any]) -> Read:
    """Return the page of one job, with one run a day."""
    for day, job in enumerate(jobs, start=1):
        make_up_run(tmp_path, f"202601{day:02}T040506Z-0000", [made_up_job(**job)])
    return Read(write_history(tmp_path))


def test_jobs_the_worst_first_and_their_runs_the_newest_first(tmp_path: Path) -> None:
    for day in (1, 2):
        jobs = [made_up_job("a", 0.9), made_up_job("b", 0.8 if day == 1 else 0.3)]
        make_up_run(tmp_path, f"2026010{day}T040506Z-0000", jobs)
    rows = [row for row in Read(write_history(tmp_path)).rows if row[0] not in ("job", "run")]
    assert [row[0] for row in rows] == ["b", "a", *["2026-01-02 04:05", "2026-01-01 04:05"] * 2]
    assert rows[0][1:5] == ["fail", "30.0%", "[20.0%, 40.0%]", ">= 0.5"]
    assert rows[2] == [
        *("2026-01-02 04:05", "30.0%", "[20.0%, 40.0%]", ">= 0.5", "20/20", "fail"),
        *("c0ffeec0f", "", "12.5 s", ""),
    ]


def test_links_lead_to_the_jobs_part_of_a_runs_page_that_is_there(tmp_path: Path) -> None:
    jobs = [made_up_job("a"), made_up_job("a", attempt=2)]
    first = make_up_run(tmp_path, "a run #1", jobs, started_at="2026-01-01T00:00:00.000Z")
    (first / "index.html").write_text("")
    make_up_run(tmp_path, "20260102T000000Z-0000", [made_up_job("a")])
    links = {link for link in Read(write_history(tmp_path)).links if not link.startswith("#")}
    assert links == {"a%20run%20%231/index.html#a.2"}


def test_the_line_is_broken_where_the_configuration_changed(tmp_path: Path) -> None:
    fewer = {"rollout": {"episodes": 10}}
    read = page_of(tmp_path, {}, {"expected": ">= 0.7"}, fewer, fewer | {"tags": ("x",)})
    (line,) = read.paths["line"]
    assert re.sub(r"[\d. ]", "", line["d"]) == "MLML"
    assert len(read.paths["change"]) == 1
    changes = [row[-1] for row in read.rows if row[0].startswith("2026")]
    assert changes == ["", "configuration (rollout)", "", "", *changes[4:]]


def test_a_change_between_runs_without_a_rate_breaks_the_line_too(tmp_path: Path) -> None:
    changed = {"environment": {"id": "CartPole-v1", "seed": 3}}
    cut = {"status": Status.CRASHED}
    read = page_of(tmp_path, {}, cut | changed, changed, {"status": Status.ERROR} | changed, changed)
    (line,) = read.paths["line"]
    assert re.sub(r"[\d. ]", "", line["d"]) == "MML"
    assert len(read.paths["dot crashed"]) == len(read.paths["dot error"]) == 1
    assert len(read.paths["dot pass"]) == 3


def test_thresholds_are_drawn_where_they_were_set(tmp_path: Path) -> None:
    read = page_of(
        tmp_path, {"expected": ">= 50%"}, {"expected": ">= 0.5"}, {"expected": None}, {"expected": "0.2..0.9"}
    )
    spans = [re.findall(r"[\d.]+", path["d"]) for path in read.paths["threshold"]]
    assert [span[1] for span in spans] == ["78", "78", "117.6", "25.2"], "0.5, 0.5, 0.2, 0.9"
    assert [(span[0], span[2]) for span in spans] == [("44", "124"), ("124", "204"), *[("284", "364")] * 2]


def test_the_policy_is_a_bar_as_long_as_it_stays_the_same(tmp_path: Path) -> None:
    one, other = ({"policy_files": {"checkpoint": letter * 64}} for letter in "ab")
    read = page_of(tmp_path, {}, one, one, other, one)
    widths = [path["width"] for name in ("policy", "policy other") for path in read.paths[name]]
    assert sorted(widths) == ["160", "80", "80"]
    assert [row[7] for row in read.rows if row[0].startswith("2026")][:5] == [
        *("a" * 9, "b" * 9, "a" * 9, "a" * 9, ""),
    ]


def test_a_job_without_rates_has_a_table_and_no_picture(tmp_path: Path) -> None:
    read = page_of(tmp_path, {"rate": None, "expected": None}, {"status": Status.RUNNING})
    assert "line" not in read.paths
    assert "No run that completed measured a success rate." in (tmp_path / "index.html").read_text()
    assert [row[5] for row in read.rows if row[0].startswith("2026")][:2] == ["running", "none"]


def test_other_thresholds_have_a_column(tmp_path: Path) -> None:
    run = make_up_run(tmp_path, "20260101T000000Z-0000", [made_up_job("a")])
    path = run / "a" / "record.json"
    threshold = {"metric": "return", "expression": "> 3", "value": 2.5, "passed": False}
    write_json(path, {**json.loads(path.read_text()), "thresholds": [threshold]})
    row = Read(write_history(tmp_path)).rows[-1]
    assert row[6] == "return2.5 ✗> 3"


def test_a_long_history_shows_the_last_runs_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_page, "MOST_RUNS", 6)
    read = page_of(tmp_path, *({"rate": day / 10} for day in range(9)))
    days = [row[0][8:10] for row in read.rows if row[0].startswith("2026")]
    assert days == ["09", "08", "07", "06", "05", "04"]
    assert "The last 6 of 9 runs as a table" in (tmp_path / "index.html").read_text()
    monkeypatch.setattr(history_page, "MOST_ROWS", 0)
    read = Read(write_history(tmp_path))
    assert len([row for row in read.rows if row[0].startswith("2026")]) == history_page.FEWEST_RUNS


def test_what_others_wrote_is_text(tmp_path: Path) -> None:
    hostile = '"><script>alert(1)</script></style>\u202e&'
    run = make_up_run(tmp_path, "20260101T000000Z-0000", [made_up_job("a")], machine={"node": hostile})
    manifest = (run / "run.json").read_text().replace('"a": {', '"a": {"policy_source": "<b>x</b>",')
    manifest = manifest.replace("c0ffeec0", "<i>c0ffe").replace('"policy_source": null,', '"other": 1,')
    (run / "run.json").write_text(manifest)
    record = (run / "a" / "record.json").read_text().replace(">= 0.5", "<img src=x>")
    (run / "a" / "record.json").write_text(record)
    broken = tmp_path / f"x{hostile.replace('/', '')}\udcff"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    page = write_history(tmp_path).read_text()
    for text in ("<img", "<script>alert", "<b>x", "<i>c0"):
        assert text not in page
    assert "&lt;script&gt;alert" in page
    assert "&lt;img src=x&gt;" in page


def test_a_run_that_cannot_be_read_is_a_note(tmp_path: Path) -> None:
    runs = [make_up_run(tmp_path, f"2026010{day}T000000Z-0000", [made_up_job("a")]) for day in (1, 2, 3)]
    (runs[0] / "run.json").write_text("{")
    (runs[1] / "a" / "record.json").write_text("[]")
    page = write_history(tmp_path).read_text()
    assert page.count('class="note"') == 2
    assert "20260101T000000Z-0000/run.json: expected JSON" in page
    assert "20260102T000000Z-0000/a: a/record.json: expected the keys" in page


def test_odd_numbers_cost_nothing_else(tmp_path: Path) -> None:
    run = make_up_run(tmp_path, "20260101T000000Z-0000", [made_up_job("a"), made_up_job("b")])
    path = run / "a" / "record.json"
    odd = {"intervals": {"success_rate": [None, 1]}, "metrics": {"success_rate": 7}, "timings": {}}
    write_json(path, {**json.loads(path.read_text()), **odd})
    manifest = json.loads((run / "run.json").read_text())
    write_json(
        run / "run.json", {**manifest, "started_at": "", "versions": {"mujoco": [1]}, "revision": None}
    )
    rows = Read(write_history(tmp_path)).rows
    assert [row[2:4] for row in rows if row[0] in ("a", "b")] == [
        ["700.0%", ""],
        ["90.0%", "[80.0%, 100.0%]"],
    ]


def test_many_notes_are_counted(tmp_path: Path) -> None:
    for number in range(30):
        (make_up_run(tmp_path, f"202601{number + 1:02}T000000Z-0000") / "run.json").write_text("{")
    page = write_history(tmp_path).read_text()
    assert page.count('class="note"') == 21
    assert "and 10 more that could not be read" in page
    assert "There is no run in this folder." in page


def test_a_page_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    make_up_run(tmp_path, "20260101T000000Z-0000", [made_up_job("a")])
    page = write_history(tmp_path)
    assert OURS in page.read_text()
    assert write_history(tmp_path) == page
    page.write_text("<h1>my site</h1>")
    with pytest.raises(FileExistsError):
        write_history(tmp_path)
    assert page.read_text() == "<h1>my site</h1>"


def test_a_run_that_ends_while_the_page_is_written_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two sessions that end in one moment the later writer may have read the runs before the other ended."""
    make_up_run(tmp_path, "20260101T000000Z-0000", [made_up_job("mine")])
    write_own_page = history_page.write_own_page

    def write_late(page: Path, text: str, own: Markup) -> None:
        if not page.exists():
            make_up_run(tmp_path, "20260102T000000Z-0000", [made_up_job("others")])
        write_own_page(page, text, own)

    monkeypatch.setattr(history_page, "write_own_page", write_late)
    assert "others" in write_history(tmp_path).read_text()


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    """To open a pipe would wait for its writer: the session would not end."""
    make_up_run(tmp_path, "20260101T000000Z-0000", [made_up_job("a")])
    os.mkfifo(tmp_path / "index.html")
    with pytest.raises(FileExistsError):
        write_history(tmp_path)
    (tmp_path / "index.html").unlink()
    (tmp_path / "index.html").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        write_history(tmp_path)


def test_the_page_allows_its_own_style_and_script_only(tmp_path: Path) -> None:
    page = page_of(tmp_path, {}) and (tmp_path / "index.html").read_text()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', str(page))
    assert policy.startswith("default-src &#39;none&#39;; style-src &#39;sha256-")
    assert "unsafe" not in policy
    assert "http://" not in str(page)
    assert "https://" not in str(page)
