"""A job's part of the page in Chromium: pictures that can be seen, films of both runs, a phone, a job that is broken."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_arena import Episode, Status
from pytest_arena.comparison.compare import compare
from pytest_arena.recorders.films.encoder import Encoder
from pytest_arena.recorders.films.film import Film
from pytest_arena.recorders.films.mp4 import FilmFormat
from pytest_arena.records.files import write_json
from pytest_arena.records.schema import ThresholdResult
from pytest_arena.reports.html.run_page import write_run_page
from tests.browser import Pages
from tests.jobs import make_job
from tests.unit.comparison.test_compare import RATE
from tests.unit.gate.samples import episode, rates
from tests.unit.gate.test_job_gate import gate_of, play
from tests.unit.reports.html.page_jobs import stored

EVERYTHING, BROKEN = "reach", "broken"


def films(run_dir: Path, count: int) -> list[Episode]:
    """Write a film of two seconds an episode."""
    found = []
    encoder = Encoder()
    for index in range(count):
        path = run_dir / EVERYTHING / "videos" / f"episode-{index:04d}-env0-front.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        film = Film(path, FilmFormat(10, size=(64, 64)), encoder)
        for step in range(20):
            film.add(np.full((64, 64, 3), 10 * step, np.uint8))
        film.finish()
        found.append(episode(index, videos={"front": path.relative_to(run_dir).as_posix()}))
    encoder.close()
    return found


def write(run_dir: Path, finished: list[Episode], name: str, **changes: Any) -> None:
    job = stored(run_dir, finished, name, status=Status.COMPLETED, **changes)
    assert job.record is not None
    write_json(run_dir / name / "record.json", job.record.to_json())


@pytest.fixture(scope="module")
def page_of_a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with a job that has everything, one whose record is broken, and a baseline beside it."""
    runs = tmp_path_factory.mktemp("runs")
    before, now = runs / "before", runs / "now"
    for run_dir in (before, now):
        run_dir.mkdir()
    write(before, films(before, 2), EVERYTHING)
    gate = gate_of()
    play(gate, ["success"] * 25 + ["error"] * 2 + ["failure"] * 40)
    comparison = compare(rates([1] * 20), rates([0, 0] + [1] * 18), RATE)
    act = {"count": 40, "p50_ms": 9.1, "p95_ms": 14.2, "max_ms": 20.0, "total_seconds": 1.0}
    everything: dict[str, Any] = {
        "thresholds": [ThresholdResult("success_rate", ">= 0.8", 0.9, True, (0.7, 0.98))],
        "gate": gate.record,
        "comparison": dataclasses.replace(comparison, baseline=str(before)),
        "timings": {"build_seconds": 1.0, "rollout_seconds": 20.0, "total_seconds": 30.0},
        "inference": {"batch": 4, "act": act},
        "metrics": {"success_rate": 0.9},
        "error": {"type": "RuntimeError", "message": "it broke", "traceback": "a line\n" * 300},
    }
    write(now, films(now, 2), EVERYTHING, **everything)
    gate.record.tests[0].fail_at.pop()
    write(now, [], BROKEN, **everything)
    config = make_job(environment={"id": "x", "num_envs": 4, "options": {"k": "v " * 500}}).config()
    jobs = {
        name: {"config": config, "nodeid": f"jobs.yaml::rollout[{name}]"} for name in (EVERYTHING, BROKEN)
    }
    (now / "run.json").write_text(json.dumps({"schema_version": "1.0", "jobs": jobs}))
    return write_run_page(now)


@pytest.mark.parametrize(
    "how", [{}, {"dark": True}, {"width": 390}, {"media": "print"}, {"javascript": False}]
)
def test_the_pictures_can_be_seen(open_page: Pages, page_of_a_run: Path, how: dict[str, Any]) -> None:
    page = open_page(page_of_a_run, address=EVERYTHING, **how)
    gate = page.locator(f"#{EVERYTHING} svg.gate")
    assert gate.is_visible()
    assert "fail after" in gate.get_attribute("aria-label")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    stroke = "element => getComputedStyle(element).stroke"
    lines = [gate.locator(kind).evaluate(stroke) for kind in (".taken", ".area.pass", ".area.fail")]
    assert len({paper, *lines}) == 4
    assert gate.locator("text").first.evaluate("element => getComputedStyle(element).fill") != paper
    bar = page.locator(f"#{EVERYTHING} svg.bar path")
    assert len({bar.nth(index).evaluate(stroke) for index in range(bar.count())}) == 3
    picture = page.locator(f"#{EVERYTHING} .thresholds svg")
    assert picture.bounding_box()["width"] == 150


@pytest.mark.parametrize("job", [EVERYTHING, BROKEN])
def test_a_phone_needs_no_scrolling_to_the_side(open_page: Pages, page_of_a_run: Path, job: str) -> None:
    page = open_page(page_of_a_run, address=job, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_both_films_of_a_lost_episode_play(open_page: Pages, page_of_a_run: Path) -> None:
    page = open_page(page_of_a_run, address=EVERYTHING)
    assert not open_page.settled(), "nothing outside of the page's folder is asked for before it is opened"
    page.get_by_text("Films of both runs").click()
    pair = page.locator(".film-pair").first
    assert pair.is_visible()
    assert page.locator(".film-pair").count() == 2
    pair.get_by_role("button").click()
    for index in range(2):
        film = pair.locator("video").nth(index)
        page.wait_for_function("film => film.currentTime > 0", arg=film.element_handle())
    outside = {problem for problem in open_page.settled() if "/before/reach/videos/" in problem}
    assert {*open_page.problems} == outside
    assert outside, "the baseline's film is where the baseline is"
    open_page.problems.clear()


def test_a_link_leads_to_the_episode_that_differs(open_page: Pages, page_of_a_run: Path) -> None:
    page = open_page(page_of_a_run, address=EVERYTHING)
    page.locator(".pairs-words a").nth(1).click()
    assert page.url.endswith(f"#{EVERYTHING}/episode-1")
    assert "episode 1" in page.locator(f"#{EVERYTHING} .panel").inner_text().lower()


def test_what_is_broken_is_a_note_beside_all_else(open_page: Pages, page_of_a_run: Path) -> None:
    page = open_page(page_of_a_run, address=BROKEN)
    assert "The gate's picture cannot be shown" in page.locator(f"#{BROKEN} .note").first.inner_text()
    assert page.locator(f"#{BROKEN} svg.bar").is_visible()
    assert "num_envs: 4" in page.locator(f"#{BROKEN} .configuration b").all_inner_texts()[1]
