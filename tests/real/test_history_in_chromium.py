"""The page of the runs in a folder, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_arena.records.schema import Status
from pytest_arena.reports.html.history_page import write_history
from tests.browser import Pages
from tests.made_up_runs import made_up_job, make_up_run

HOSTILE = 'x"><img src=y onerror=alert(1)><\u202e' + 40 * "long"
RUNS = 60


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 60 runs: a job that was changed and has policies, one that crashed, and one with a bad name."""
    results = tmp_path_factory.mktemp("history") / "arena-results"
    for number in range(RUNS):
        policy = {"checkpoint": f"{number // 20:064x}"}
        jobs = [
            made_up_job("push", 0.6 + number % 5 / 20, rollout={"episodes": 10 if number < 30 else 20}),
            made_up_job("reach", 0.3 if number > 50 else 0.9, policy_files=policy),
            made_up_job("door", status=Status.CRASHED if number == RUNS - 1 else Status.COMPLETED),
        ]
        name = f"2026{number // 28 + 1:02}{number % 28 + 1:02}T040506Z-{number:04x}"
        run = make_up_run(results, name, jobs)
        (run / "index.html").write_text("<!DOCTYPE html><title>run</title><h1>The page of the run</h1>")
    last = results / name
    (last / "push").rename(last / HOSTILE)
    for path in (last / "run.json", last / HOSTILE / "record.json"):
        text = path.read_text()
        path.write_text(text.replace('"push"', f'"{HOSTILE}"'.replace('x">', 'x\\">')))
    return write_history(results)


def shown(page: Any) -> list[str]:
    """The jobs of the table that are shown."""
    names: list[str] = page.locator(".histories tbody tr:visible th").all_inner_texts()
    return names


def test_jobs_the_worst_first_each_with_its_picture(open_page: Pages, history: Path) -> None:
    page = open_page(history)
    assert shown(page)[:2] == ["door", "reach"]
    assert page.locator("section.history .rates").count() == 4
    assert page.locator("#push path.change").count() == 1
    assert page.locator("#reach rect").count() == 3
    assert page.locator("#reach a .dot").count() == RUNS
    assert page.locator("#reach a .dot.fail").count() == RUNS - 51
    assert [url for url in open_page.requests if not url.endswith(("index.html", ".html#"))] == []


def test_a_mark_leads_to_the_page_of_its_run(open_page: Pages, history: Path) -> None:
    page = open_page(history)
    mark = page.locator("#reach svg a").last
    assert "30.0% [20.0%, 40.0%]" in mark.locator("title").text_content()
    mark.click()
    assert page.inner_text("h1") == "The page of the run"
    assert page.url.endswith("-003b/index.html#reach")


def test_search(open_page: Pages, history: Path) -> None:
    page = open_page(history)
    page.keyboard.press("/")
    page.keyboard.type("FAIL")
    assert shown(page) == ["reach"]
    assert page.locator("section.history:visible").count() == 1
    assert page.inner_text("#_found") == "1 of 4 jobs"
    page.fill("#_search", "no such job")
    assert shown(page) == []
    page.fill("#_search", "")
    assert len(shown(page)) == 4
    assert page.inner_text("#_found") == ""


def test_an_address_leads_to_a_job(open_page: Pages, history: Path) -> None:
    page = open_page(history, address="push")
    assert -2 < page.locator("#push").bounding_box()["y"] < 200
    page.locator(".histories a", has_text="reach").click()
    assert -2 < page.locator("#reach").bounding_box()["y"] < 200


def test_the_numbers_can_be_read_without_a_script(open_page: Pages, history: Path) -> None:
    page = open_page(history, javascript=False)
    assert not page.locator(".search").is_visible()
    assert not page.locator("#reach table").is_visible()
    page.locator("#reach summary").click()
    rows = page.locator("#reach tbody tr:visible")
    assert rows.count() == RUNS
    assert rows.first.inner_text().split()[2:5] == ["30.0%", "[20.0%,", "40.0%]"]
    assert rows.first.locator("a").get_attribute("href").endswith("-003b/index.html#reach")


def test_a_hostile_name_is_text(open_page: Pages, history: Path) -> None:
    page = open_page(history)
    assert HOSTILE in shown(page)
    assert page.locator("img").count() == 0
    page.locator(".histories a", has_text="onerror").click()
    assert -2 < page.locator("section.history", has_text="onerror").bounding_box()["y"] < 800
    page.locator("section.history", has_text="onerror").locator("svg a").click()
    assert page.inner_text("h1") == "The page of the run"


@pytest.mark.parametrize("dark", [False, True])
def test_colours_follow_the_system(open_page: Pages, history: Path, dark: bool) -> None:
    page = open_page(history, dark=dark)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)")


def test_on_a_phone_the_newest_runs_are_seen_first(open_page: Pages, history: Path) -> None:
    page = open_page(history, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    first, last = (page.locator("#reach svg a").nth(at).bounding_box() for at in (0, RUNS - 1))
    assert first["x"] < 0 < last["x"] < 390


def test_on_paper_the_tables_are_there(open_page: Pages, history: Path) -> None:
    page = open_page(history, dark=True, media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("#reach tbody tr").last.bounding_box()["height"] > 5
    assert not page.locator(".search").is_visible()
