"""The table of jobs, as people use it: search, filters, order, keys, on a phone, without a script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_arena.reports.html.run_page import write_run_page
from tests.browser import Pages
from tests.unit.reports.run_of_jobs import write_broken_job, write_job, write_manifest

EVERY = ["broken", "door", "push", "reach.2", "reach", "free", "good"]
"""Folders in the order of the page: the attempt before ``reach.2`` stands below it."""


def entry(name: str, line: int, tags: list[str], instruction: str = "") -> dict[str, Any]:
    config = {"tags": tags, "language_instruction": instruction, "environment": {"id": f"{name}-v3"}}
    return {"nodeid": f"jobs.yaml::rollout[{name}]", "config": config, "file": "jobs.yaml", "line": line}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """The page of a run of six jobs."""
    jobs = {
        "good": entry("good", 1, ["smoke"]),
        "free": entry("free", 2, []),
        "push": entry("push", 3, ["smoke", "hard"], "push the red puck"),
        "broken": entry("broken", 4, ["hard"]),
        "reach": entry("reach", 5, []),
        "door": entry("door", 6, ["hard"], "open the door"),
    }
    write_manifest(tmp_path, [], **jobs)
    write_job(tmp_path, "good", [True] * 20)
    write_job(tmp_path, "free", [True, False], job={"thresholds": {}}, policy="openpi")
    write_job(tmp_path, "push", [True] * 3 + [False], timings={"total_seconds": 7200.0})
    write_broken_job(tmp_path, "broken", "no GPU")
    write_job(tmp_path, "reach", [False] * 2, attempt=1)
    write_job(tmp_path, "reach", [True, False, True, True, True], attempt=2, environment="reach-v3")
    write_job(tmp_path, "door", [False] * 3)
    return write_run_page(tmp_path)


def shown(page: Any) -> list[str]:
    """Folders of the visible rows."""
    links = page.locator("table.jobs tbody tr:visible th a")
    return [str(text) for text in links.all_inner_texts()]


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.textContent"))


def test_search_finds_names_tags_policies_and_instructions(open_page: Pages, index: Path) -> None:
    page = open_page(index)
    assert shown(page) == EVERY
    search = page.get_by_role("searchbox")
    for words, found in (
        ("PUSH", ["push"]),
        ("red puck", ["push"]),
        ("hard door", ["door"]),
        ("openpi", ["free"]),
        ("reach-v3", ["reach.2", "reach"]),
        ("reach.2", ["reach.2", "reach"]),
        ("nothing like it", []),
    ):
        search.fill(words)
        assert shown(page) == found, words
    assert page.locator("form.find output").inner_text() == "0 of 6 jobs"
    page.get_by_role("button", name="Clear").click()
    assert shown(page) == EVERY


def test_filters_are_built_from_what_is_there(open_page: Pages, index: Path) -> None:
    page = open_page(index)
    verdicts = page.get_by_label("Show jobs by verdict")
    assert verdicts.locator("option").all_inner_texts() == [
        *("any verdict", "error (1)", "fail (3)", "none (1)", "pass (1)")
    ]
    assert page.get_by_label("Show jobs by tag").locator("option").all_inner_texts() == [
        *("any tag", "hard (3)", "smoke (2)")
    ]
    assert page.get_by_label("Show jobs by simulator").count() == 0, "there is only one"
    page.get_by_label("Show jobs by tag").select_option("hard")
    assert shown(page) == ["broken", "door", "push"]
    verdicts.select_option("fail")
    assert shown(page) == ["door", "push"]
    page.get_by_label("Show jobs by policy").select_option("openpi")
    assert shown(page) == []
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("link", name="3 failed").click()
    assert shown(page) == ["door", "push", "reach.2", "reach"]
    assert page.evaluate("location.hash") == ""
    page.get_by_role("link", name="3 failed").click()
    assert shown(page) == EVERY
    assert shown(open_page(index, address="=fail")) == ["door", "push", "reach.2", "reach"], (
        "an address of its own"
    )


def test_each_column_sorts_the_jobs_and_keeps_their_parts_below_them(open_page: Pages, index: Path) -> None:
    page = open_page(index)
    head = page.locator("table.jobs thead")
    for name, first, second in (
        ("job", ["broken", "door", "free", "good", "push", "reach.2", "reach"], "ascending"),
        ("success rate", ["door", "free", "push", "reach.2", "reach", "good", "broken"], "ascending"),
        ("episodes", ["good", "reach.2", "reach", "push", "door", "free", "broken"], "descending"),
    ):
        head.get_by_role("button", name=name).click()
        assert shown(page) == first, name
        assert head.locator("[aria-sort=none]").count() == head.locator("th").count() - 1
        assert head.locator("th", has_text=name).get_attribute("aria-sort") == second
    head.get_by_role("button", name="time").click()
    assert shown(page)[0] == "push", "two hours are more than twelve seconds"
    head.get_by_role("button", name="success rate").click()
    head.get_by_role("button", name="success rate").click()
    assert shown(page) == ["good", "reach.2", "reach", "push", "free", "door", "broken"], (
        "what lacks a rate is last"
    )
    head.get_by_role("button", name="verdict").click()
    assert shown(page) == EVERY
    head.get_by_role("button", name="verdict").click()
    assert (shown(page)[0], shown(page)[-1]) == ("good", "broken")


def test_keys_lead_to_a_job_and_back_to_where_one_was(open_page: Pages, index: Path) -> None:
    page = open_page(index)
    page.keyboard.press("/")
    page.keyboard.type("hard")
    page.keyboard.press("Enter")
    assert focused(page) == "broken"
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert focused(page) == "push", "it is the last one"
    page.keyboard.press("k")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert focused(page) == "door"
    page.keyboard.press("Enter")
    assert page.locator("section.job.open").get_attribute("id") == "door"
    assert not page.locator('[id="=jobs"]').is_visible()
    page.keyboard.press("Escape")
    assert shown(page) == ["broken", "door", "push"], "the search is as it was"
    assert focused(page) == "door"
    page.go_back()
    assert page.locator("section.job.open").get_attribute("id") == "door"
    page.go_back()
    assert (shown(page), focused(page)) == (["broken", "door", "push"], "door")
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    assert shown(page) == EVERY
    page.keyboard.type("?j")
    assert page.get_by_role("searchbox").input_value().endswith("?j"), "what is typed into the search is text"


def test_a_job_may_have_any_name(open_page: Pages, tmp_path: Path) -> None:
    """Its address leads to the job, not to a part of the page."""
    names = ["jobs", "axis", "content", "constructor", "episode-3", "fail"]
    write_manifest(tmp_path, names)
    for name in names:
        write_job(tmp_path, name, [False])
    index = write_run_page(tmp_path)
    for name in names:
        page = open_page(index, address=f"{name}/episode-0")
        assert page.locator("section.job.open h2").inner_text().startswith(name)
        assert page.locator("section.job.open .panel").is_visible()
        assert not page.locator("table.jobs").is_visible()


def test_the_keys_are_told(open_page: Pages, index: Path) -> None:
    page = open_page(index)
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()
    page.keyboard.press("Control+k")
    assert focused(page) != "broken", "keys of the browser are left to it"


def test_thousands_of_rows_are_shown_as_one_comes_to_them(open_page: Pages, tmp_path: Path) -> None:
    names = [f"job-{number:04}" for number in range(1000)]
    write_manifest(tmp_path, names)
    page = open_page(write_run_page(tmp_path))
    assert len(shown(page)) == 300
    page.get_by_role("searchbox").fill("job-099")
    assert shown(page) == names[990:]
    page.get_by_role("searchbox").fill("")
    page.keyboard.press("Escape")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.locator("table.jobs tbody tr:visible").nth(300).wait_for()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(shown(page)) == 1000, "paper has all of them"


def test_the_command_is_copied(open_page: Pages, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"jobs": {}, "command": ["/x/bin/pytest", "evals", "-k", "a b"]}')
    page = open_page(write_run_page(tmp_path))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the command").click()
    page.get_by_text("Copied", exact=True).wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "pytest evals -k 'a b'"


@pytest.mark.parametrize("width", [390, 800, 1280])
def test_nothing_is_wider_than_the_window(open_page: Pages, tmp_path: Path, width: int) -> None:
    names = ["x" * 100, "reach"]
    write_manifest(tmp_path, names, broken=entry("broken", 3, ["t" * 300, "ü" * 40], "y" * 10_000))
    write_job(tmp_path, names[0], [True, False], environment="e" * 10_000, policy="p" * 10_000)
    write_job(tmp_path, "reach", [True] * 20)
    page = open_page(write_run_page(tmp_path), width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for heading in ("job", "verdict", "success rate"):
        assert page.get_by_role("columnheader", name=heading).is_visible()
    cells = page.locator("table.jobs :is(th, td, small, svg):visible")
    assert cells.evaluate_all("all => Math.max(...all.map(e => e.getBoundingClientRect().right))") <= width


def test_without_a_script_it_is_a_plain_table(open_page: Pages, index: Path) -> None:
    page = open_page(index, javascript=False)
    assert shown(page) == EVERY
    assert page.locator("button, input, select").count() == 0
    page.get_by_role("link", name="3 failed").click()
    assert page.evaluate("decodeURIComponent(location.hash)") == "#=fail"
    page.locator("table.jobs").get_by_role("link", name="door").click()
    assert page.evaluate("location.hash") == "#door"
