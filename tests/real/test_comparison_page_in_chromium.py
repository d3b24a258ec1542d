"""The page of ``compare --html`` in a browser: films of both runs in step, tables, addresses, themes."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pytest_arena.__main__ import main
from pytest_arena.comparison.compared_runs import compare_two
from pytest_arena.comparison.named_runs import read_runs
from pytest_arena.records.files import write_json
from pytest_arena.records.json_files import read_json
from pytest_arena.reports.html.run_page import write_run_page
from tests.browser import Pages
from tests.compared_films import add_films, name_films
from tests.real.test_accessible_pages import RUN_AXE, axe
from tests.unit.commands.test_compare_command import BAD, GOOD, make_run
from tests.unit.reports.html.test_comparison_page import HOSTILE

__all__ = ["axe"]
LONG, SHORT = 60, 25
"""Frames of films of 10 a second."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with films of two lost episodes, a third one, and the pages."""
    folder = tmp_path_factory.mktemp("results")
    one = make_run(folder / "one", {"reach": GOOD, "push": GOOD})
    two = make_run(folder / "two", {"reach": BAD, "push": GOOD}, policy={"type": "random"})
    three = make_run(folder / "three", {"reach": GOOD, "push": [1] * 22})
    add_films(Path(one), "reach", {10: LONG, 12: SHORT})
    add_films(Path(two), "reach", {10: SHORT, 12: SHORT})
    assert main(["compare", one, two, "--html", str(folder / "two.html")]) == 1
    assert main(["compare", one, two, three, "--html", str(folder / "three.html")]) == 0
    return folder


FILMS = "[...document.querySelectorAll('.film-pair')[0].querySelectorAll('video')]"


def times(page: Any) -> list[float]:
    return list(page.evaluate(f"{FILMS}.map(film => film.currentTime)"))


def wait_until(page: Any, condition: str) -> None:
    """Wait for a condition, which the page's policy does not let playwright compute in the page by itself."""
    end = time.monotonic() + 60
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never: {condition}"
        page.wait_for_timeout(50)


def opened(open_page: Pages, results: Path, **how: Any) -> Any:
    page = open_page(results / "two.html", **how)
    page.locator("#job-reach summary").click()
    page.locator(".film-pair").first.scroll_into_view_if_needed()
    wait_until(page, f"{FILMS}.every(film => film.readyState > 1)")
    return page


def test_both_films_play_in_step(open_page: Pages, results: Path) -> None:
    page = opened(open_page, results)
    assert page.locator(".film-pair").count() == 2
    assert page.evaluate(f"{FILMS}.map(film => Math.round(film.duration * 10))") == [LONG, SHORT]
    button = page.get_by_role("button").first
    assert button.inner_text() == "Play both"
    button.click()
    wait_until(page, f"{FILMS}.every(film => film.currentTime > 0.5)")
    assert button.inner_text() == "Pause both"
    button.click()
    wait_until(page, f"{FILMS}.every(film => film.paused)")
    assert button.inner_text() == "Play both"
    first, second = times(page)
    assert first > 0.5
    assert abs(first - second) < 0.5


def test_moving_one_film_moves_the_other(open_page: Pages, results: Path) -> None:
    page = opened(open_page, results)
    page.evaluate(f"{FILMS}[0].currentTime = 1.5")
    wait_until(page, f"Math.abs({FILMS}[1].currentTime - 1.5) < 0.01")
    page.evaluate(f"{FILMS}[1].currentTime = 0.7")
    wait_until(page, f"Math.abs({FILMS}[0].currentTime - 0.7) < 0.01")
    page.evaluate(f"{FILMS}[0].currentTime = 4")
    wait_until(page, f"{FILMS}[1].currentTime > 2.4")
    page.wait_for_timeout(200)
    assert times(page)[0] == pytest.approx(4), "the shorter one stands at its end"
    page.evaluate(f"{FILMS}[0].currentTime = 1")
    wait_until(page, f"Math.abs({FILMS}[1].currentTime - 1) < 0.01")


def test_the_longer_film_goes_on_alone(open_page: Pages, results: Path) -> None:
    page = opened(open_page, results)
    page.evaluate(f"{FILMS}.forEach(film => film.playbackRate = 8)")
    page.get_by_role("button").first.click()
    wait_until(page, f"{FILMS}.every(film => film.ended)")
    assert times(page) == pytest.approx([LONG / 10, SHORT / 10], abs=0.01)
    page.get_by_role("button").first.click()
    wait_until(page, f"{FILMS}.every(film => film.currentTime < 2 && !film.paused)")


def test_what_is_done_to_one_film_is_done_to_both(open_page: Pages, results: Path) -> None:
    page = opened(open_page, results)
    page.evaluate(f"{FILMS}[1].playbackRate = 0.5")
    wait_until(page, f"{FILMS}[0].playbackRate === 0.5")
    page.evaluate(f"{FILMS}[1].play()")
    wait_until(page, f"!{FILMS}[0].paused && {FILMS}[0].currentTime > 0.1")
    page.evaluate(f"{FILMS}[0].pause()")
    wait_until(page, f"{FILMS}[1].paused")


def test_films_that_nobody_sees_are_not_loaded(open_page: Pages, results: Path) -> None:
    open_page(results / "two.html")
    assert not [url for url in open_page.requests if url.endswith(".mp4")]


@pytest.mark.parametrize("how", [{}, {"dark": True}, {"width": 390}])
@pytest.mark.parametrize("name", ["two.html", "three.html"])
def test_axe_finds_no_serious_fault(
    open_page: Pages, results: Path, axe: str, name: str, how: dict[str, Any]
) -> None:
    page = open_page(results / name, **how)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.evaluate(axe)
    faults = page.evaluate(RUN_AXE)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", ["two.html", "three.html"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_not_wider_than_the_window(
    open_page: Pages, results: Path, name: str, width: int
) -> None:
    page = open_page(results / name, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_all_is_there_without_a_script(open_page: Pages, results: Path) -> None:
    page = open_page(results / "two.html", javascript=False)
    page.locator("#job-reach summary").click()
    assert page.locator("video[controls]").count() == 4
    assert page.locator("video").first.is_visible()
    assert page.get_by_role("button").count() == 0
    ranked = open_page(results / "three.html", javascript=False)
    assert ranked.locator("#job-reach .ranked tbody tr").count() == 3


def test_a_job_has_an_address(open_page: Pages, results: Path) -> None:
    page = open_page(results / "two.html", address="job-reach", width=390)
    assert page.evaluate("scrollY") > 0
    assert 0 <= page.locator("#job-reach").bounding_box()["y"] < 800


def test_hostile_texts_do_nothing(open_page: Pages, tmp_path: Path) -> None:
    script, quotes, marks, image = HOSTILE
    one = make_run(tmp_path / "one", {"reach": GOOD}, language_instruction=f"{script}{marks}")
    two = make_run(tmp_path / "two", {"reach": BAD}, language_instruction=image * 300)
    for run in (one, two):
        add_films(Path(run), "reach", {10: 5})
        film = next(Path(run).rglob("*.mp4")).relative_to(run).as_posix()
        name_films(Path(run), "reach", {10: {image: film, quotes: film}})
    main(["compare", one, two, "--html", str(tmp_path / "page.html")])
    page = open_page(tmp_path / "page.html", width=390)
    assert page.locator("img, iframe").count() == 0
    assert page.locator("script").count() == 1
    assert page.locator(".film-pair").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_page_of_a_run_has_the_films_of_its_baseline(open_page: Pages, tmp_path: Path) -> None:
    """They are outside of the run's folder, so none is asked for before somebody plays it."""
    one, two = (make_run(tmp_path / name, {"reach": done}) for name, done in (("one", GOOD), ("two", BAD)))
    for run in (one, two):
        add_films(Path(run), "reach", {10: SHORT, 12: SHORT})
    (comparison,) = compare_two(read_runs([one, two]), {}, None).comparisons.values()
    comparison.baseline = one
    path = Path(two, "reach", "record.json")
    write_json(path, {**read_json(path), "comparison": asdict(comparison)})
    page = open_page(write_run_page(Path(two)), address="reach")
    page.locator("summary", has_text="Films of both runs").click()
    assert page.get_by_role("button", name="Play both").count() == 2
    open_page.settled()
    assert not [url for url in open_page.requests if "/one/" in url]
    page.get_by_role("button", name="Play both").first.click()
    wait_until(page, f"{FILMS}.every(film => film.currentTime > 0.5)")
    outside = Path(one, "reach", "videos").as_uri()
    assert all(outside in problem for problem in open_page.settled())
    open_page.problems.clear()
