"""The episodes of a job as a person looks at them: a grid, a panel with films in step, charts, and keys."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_arena import Episode
from pytest_arena.recorders.films.encoder import Encoder
from pytest_arena.recorders.films.film import Film
from pytest_arena.recorders.films.mp4 import FilmFormat
from pytest_arena.records.schema import GateRecord, Outcome, ThresholdResult
from pytest_arena.reports.html.run_page import write_run_page
from tests.browser import HANG, Pages
from tests.jobs import make_job
from tests.unit.gate.samples import episode
from tests.unit.reports.html.page_jobs import stored

STEPS = 40
CAMERAS = ("front", "side view #2")
COMMAND = "cd /robots && python -m pytest 'test_it.py::test_it[reach]' --arena-set 'reach:rollout.only=[{}]'"


def write_run(run_dir: Path, finished: Sequence[Episode], embed: int = 0, **record: Any) -> Path:
    """Write a run with the job ``reach`` and its page; returns the page's path."""
    for one in finished:
        for path in one.videos.values():
            shoot(run_dir / path, one.length + 1)
    job = stored(run_dir, finished, reproducible=True, **record)
    assert job.record is not None
    (job.path / "record.json").write_text(json.dumps(job.record.to_json()))
    entry = {"nodeid": "test_it.py::test_it[reach]", "config": make_job("reach").config()}
    began = {"command": ["/x/pytest/__main__.py"], "arguments": [], "working_directory": "/robots"}
    (run_dir / "run.json").write_text(json.dumps({**began, "rootdir": "/robots", "jobs": {"reach": entry}}))
    return write_run_page(run_dir, embed=embed)


def shoot(path: Path, frames: int) -> None:
    """Write a film whose frame k is grey, 5 k of 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoder = Encoder()
    film = Film(path, FilmFormat(20), encoder)
    for frame in range(frames):
        film.add(np.full((48, 64, 3), 5 * frame, np.uint8))
    film.finish()
    encoder.close()


def twelve() -> list[Episode]:
    """Episodes 0 to 11: 3 and 7 fail, 5 is an error, and 3 has the films of two cameras."""
    every = [
        episode(
            index,
            index not in (3, 7),
            job="reach",
            length=STEPS + index,
            end_step=STEPS + index - 1,
            return_=1.5 * index,
            time_to_success=None if index in (3, 7) else STEPS - index,
            end_reason="time_out" if index in (3, 7) else "success",
        )
        for index in range(12)
    ]
    every[3].videos = {camera: f"reach/videos/100% {camera}.mp4" for camera in CAMERAS}
    every[5].outcome, every[5].error = Outcome.ERROR, "ValueError: <b>no arm</b>"
    return every


@pytest.fixture
def page_path(tmp_path: Path) -> Path:
    return write_run(tmp_path, twelve(), thresholds=[ThresholdResult("success_rate", ">= 0.9", 0.8, False)])


def until(page: Any, condition: str) -> None:
    """Wait until *condition*, JavaScript, holds; playwright's own way is what the page's policy forbids."""
    page.evaluate(
        f"""async () => {{
          const late = performance.now() + {HANG};
          while (!({condition})) {{
            if (performance.now() > late) throw new Error("never came");
            await new Promise((next) => setTimeout(next, 20));
          }}
        }}"""
    )


def shown(page: Any) -> str:
    return str(page.locator("section.open .panel h4").inner_text())


def test_a_click_plays_all_cameras_in_step(open_page: Pages, page_path: Path) -> None:
    page = open_page(page_path, address="reach")
    page.locator(".grid a").nth(3).click()
    assert shown(page) == "Episode 3 ✕ failure"
    times = "Array.from(document.querySelectorAll('.panel video'), (film) => film.currentTime)"
    until(page, f"{times}.length === 2 && {times}.every((time) => time > 0.3)")
    front, side = page.evaluate(times)
    assert abs(front - side) < 0.25
    assert page.locator(".films figcaption").all_inner_texts() == list(CAMERAS)
    until(page, "Array.from(document.querySelectorAll('.panel video')).every((film) => film.ended)")
    assert page.locator(".controls output").inner_text() == f"step {STEPS + 3} of {STEPS + 3}"
    page.locator(".grid a").nth(4).click()
    until(page, "document.querySelectorAll('video').length === 0")


GREY = """() => Array.from(document.querySelectorAll(".panel video"), (film) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [1, 1];
  const context = canvas.getContext("2d");
  context.drawImage(film, 0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data[0];
})"""


def test_a_step_is_a_frame_in_every_camera(open_page: Pages, tmp_path: Path) -> None:
    # A browser lets no script see the pixels of a file beside the page, but those of a film in it.
    path = write_run(tmp_path, twelve(), embed=10_000_000)
    assert "all 2 films are in this page" in path.read_text()
    page = open_page(path, address="reach/episode-3")
    assert "data:video/mp4" in page.locator(".panel video").first.get_attribute("src")
    until(page, "document.querySelector('.controls output').value !== ''")
    page.locator(".controls input").fill("7")
    settled = (
        "Array.from(document.querySelectorAll('.panel video')).every((film) => film.paused && !film.seeking)"
    )
    for keys, step in (("", 7), ("..", 9), (",", 8)):
        for key in keys:
            until(page, settled)
            page.keyboard.press(key)
        until(page, settled)
        assert page.locator(".controls output").inner_text() == f"step {step} of {STEPS + 3}"
        assert page.evaluate(GREY) == pytest.approx([5 * step] * 2, abs=2)
    page.locator(".controls select").select_option("2")
    rates = "Array.from(document.querySelectorAll('.panel video'), (film) => film.playbackRate)"
    assert page.evaluate(rates) == [2, 2]


def test_the_grid_is_moved_through_with_keys(open_page: Pages, page_path: Path) -> None:
    page = open_page(page_path, address="reach")
    cells = page.locator(".grid a")
    assert cells.all_inner_texts() == ["✕" if n in (3, 7) else "!" if n == 5 else "●" for n in range(12)]
    assert cells.nth(3).get_attribute("aria-label") == f"episode 3, failure, {STEPS + 3} steps"
    cells.first.focus()
    focused = "document.activeElement.getAttribute('aria-label').split(',')[0]"
    for key, expected in (("ArrowRight", 1), ("End", 11), ("ArrowRight", 11), ("ArrowLeft", 10), ("Home", 0)):
        page.keyboard.press(key)
        assert page.evaluate(focused) == f"episode {expected}"
    assert page.locator(".grid a[tabindex='0']").count() == 1
    assert page.locator(".legend button").all_inner_texts() == ["● success 9", "✕ failure 2", "! error 1"]
    page.locator(".legend button").first.click()
    assert page.locator(".legend button").first.get_attribute("aria-pressed") == "false"
    assert page.locator(".grid a:visible").count() == 3
    page.locator(".grid a[tabindex='0']").press("ArrowRight")
    assert page.evaluate(focused) == "episode 5"
    page.keyboard.press("Enter")
    assert shown(page) == "Episode 5 ! error"
    assert "ValueError: <b>no arm</b>" in page.locator(".panel .more").inner_text()


def test_an_address_shows_an_episode_and_keys_go_on(open_page: Pages, page_path: Path) -> None:
    page = open_page(page_path, address="reach/episode-4")
    assert shown(page) == "Episode 4 ● success"
    facts = page.locator(".panel dl").inner_text().split("\n")
    assert ("seed", "104") in pairwise(facts)
    assert ("steps of the row", f"0–{STEPS + 3}") in pairwise(facts)
    for key, expected in (
        ("n", 5),
        ("n", 7),
        ("n", 7),
        ("p", 5),
        ("p", 3),
        ("ArrowRight", 4),
        ("ArrowLeft", 3),
    ):
        page.keyboard.press(key)
        page.locator(".panel h4", has_text=re.compile(rf"^Episode {expected} ")).wait_for()
        assert page.evaluate("location.hash") == f"#reach/episode-{expected}"
    page.keyboard.press("Escape")
    page.locator(".panel").wait_for(state="hidden")
    assert page.evaluate("location.hash") == "#reach"
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("episode 3,")
    for nowhere in ("#reach/episode-99", "#reach/%E0%A4%A"):
        page.evaluate("(address) => { location.hash = address }", nowhere)
        page.locator(".panel .note").wait_for()
    assert "This job has no" in page.locator(".panel").inner_text()


def test_the_command_of_an_episode_can_be_copied(open_page: Pages, page_path: Path) -> None:
    page = open_page(page_path, address="reach/episode-7")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    assert page.locator(".panel code").inner_text() == COMMAND.format(7)
    page.locator(".panel button.copy").click()
    page.locator(".panel button.copy:text('Copied')").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == COMMAND.format(7)
    below = page.locator("section.episodes > .again code")
    assert below.inner_text() == COMMAND.format(
        5
    )  # the first of those that failed by an error, then failures


def test_charts_show_what_differs(open_page: Pages, page_path: Path, tmp_path: Path) -> None:
    page = open_page(page_path, address="reach")
    titles = page.locator(".chart h4").all_inner_texts()
    assert titles == ["Running success rate", "End reasons", "Length", "Return", "Time to success"]
    length = page.locator(".chart", has_text="Length")
    assert [length.locator(f".lane.{kind} :is(circle, path)").count() for kind in "sfe"] == [9, 2, 1]
    assert "● success 9: median 46, 40 to 51" in length.locator("figcaption").inner_text()
    assert page.locator(".chart .bound").count() == 1
    assert page.locator(".chart", has_text="End reasons").locator("rect").count() == 3
    other = tmp_path / "other"
    other.mkdir()
    same = open_page(write_run(other, [episode(index, job="reach") for index in range(5)]), address="reach")
    assert same.locator(".grid a").count() == 5
    assert same.locator(".chart").count() == 0


def test_many_episodes_are_bars_and_small_cells(open_page: Pages, tmp_path: Path) -> None:
    many = [
        episode(index, index % 4 > 0, job="reach", length=1 + index % 90, end_step=index % 90)
        for index in range(2000)
    ]
    gate = GateRecord("obrien_fleming", 2000, 1, True, "fail", [], counted=1996)
    page = open_page(write_run(tmp_path, many, gate=gate), address="reach/episode-1999")
    assert "beyond the gate's decision" in shown(page)
    assert page.locator(".grid.small a").count() == 2000
    assert page.locator(".grid a.beyond").count() == 4
    length = page.locator(".chart", has_text="Length")
    assert length.locator("rect").count() == 60
    assert "● success 1497:" in length.locator("figcaption").inner_text()
    assert page.locator(".rate-line").get_attribute("d").count("L") == 599


def test_without_a_script_the_table_has_it_all(open_page: Pages, page_path: Path) -> None:
    page = open_page(page_path, address="reach/episode-3", javascript=False)
    rows = page.locator("table.rows tbody tr")
    assert rows.count() == 12
    row = page.locator(":target")
    assert row.locator("video[controls][preload=none]").count() == 2
    assert row.locator("td").first.inner_text() == "failure"
    assert page.locator("code.command").last.inner_text() == COMMAND.format(5)


def test_nothing_is_wider_than_a_phone(open_page: Pages, tmp_path: Path) -> None:
    long = "x" * 10_000
    episodes = twelve()
    for one in episodes:
        one.metrics = {long: float(one.episode)}
    episodes[3].end_reason = episodes[3].videos_note = long
    page = open_page(write_run(tmp_path, episodes), address="reach/episode-3", width=390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator("section.episodes summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator(".panel").bounding_box()["height"] < 3000


def test_text_of_others_is_text(open_page: Pages, tmp_path: Path) -> None:
    hostile = '</noscript></script><img src=x onerror="alert(1)">\u202e'
    episodes = twelve()
    for one in episodes:
        one.metrics = {hostile: float(one.episode)}
    episodes[3].end_reason = episodes[3].videos_note = hostile
    episodes[3].videos = {hostile: "reach/a.mp4"}
    page = open_page(write_run(tmp_path, episodes), address="reach/episode-3")
    assert page.locator(".panel .more").inner_text().strip() == hostile
    assert page.locator(".films figcaption").inner_text() == hostile
    assert page.locator("img").count() == 0
