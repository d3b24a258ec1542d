"""Pages for everybody: what axe-core finds in them, and what of them works without a script, on a phone, on paper."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_arena.reports.html.history_page import write_history
from pytest_arena.reports.html.run_page import write_run_page
from tests.browser import Pages
from tests.lacking import lacking
from tests.made_up_runs import made_up_job, make_up_run
from tests.synthetic_runs import write_run

RUN_AXE = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
  .filter(found => found.impact === "serious" || found.impact === "critical")
  .map(found => `${found.id}: ${found.help}\\n` + found.nodes.slice(0, 3).map(
    node => `  ${node.target}: ${node.html.slice(0, 200)}\\n  ${node.failureSummary}`).join("\\n"))"""


@pytest.fixture(scope="module")
def page_of_a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with films, gates, comparisons, errors, a crash, and a job that never ran."""
    return write_run_page(write_run(tmp_path_factory.mktemp("run"), range(98), 8))


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe-core."""
    path = os.environ.get("PYTEST_ARENA_AXE")
    return (
        Path(path).read_text(encoding="utf-8")
        if path
        else lacking("no axe-core: export PYTEST_ARENA_AXE=$(.ci/axe)")
    )


JOB, GATED, COMPARED, CRASHED, EPISODE = (
    "reach-0",
    "push-1",
    "door-open-2",
    "window-open-40",
    "reach-0/episode-3",
)
NEVER_RAN = "window-open-96"


@pytest.mark.parametrize(
    ("address", "how"),
    [
        ("", {}),
        ("", {"dark": True}),
        ("", {"width": 390}),
        *((address, {}) for address in (JOB, EPISODE, GATED, COMPARED, CRASHED, NEVER_RAN)),
        (JOB, {"dark": True}),
        (GATED, {"dark": True}),
        (EPISODE, {"width": 390}),
        (GATED, {"width": 390}),
    ],
)
def test_axe_finds_no_serious_fault(
    open_page: Pages, page_of_a_run: Path, axe: str, address: str, how: dict[str, Any]
) -> None:
    page = open_page(page_of_a_run, address=address, **how)
    page.evaluate(axe)
    faults = page.evaluate(RUN_AXE)
    assert not faults, "\n".join(faults)


def test_axe_finds_no_serious_fault_without_a_script(open_page: Pages, page_of_a_run: Path, axe: str) -> None:
    # It needs scripts itself: so what stands in <noscript> is put into the page instead.
    static = page_of_a_run.with_name("static.html")
    text = re.sub(r"(?s)<script>.*?</script>|</?noscript>", "", page_of_a_run.read_text())
    static.write_text(text)
    test_axe_finds_no_serious_fault(open_page, static, axe, "", {})


def test_axe_finds_a_fault_that_is_there(open_page: Pages, tmp_path: Path, axe: str) -> None:
    (tmp_path / "page.html").write_text("<!DOCTYPE html><title>a page</title><p><button></button>")
    page = open_page(tmp_path / "page.html")
    page.evaluate(axe)
    assert "button-name" in "".join(page.evaluate(RUN_AXE))


def test_all_is_there_without_a_script(open_page: Pages, page_of_a_run: Path) -> None:
    page = open_page(page_of_a_run, javascript=False)
    assert page.locator('[id="=jobs"] tbody tr').first.is_visible()
    assert page.locator("section.job").count() == 98
    assert all(section.is_visible() for section in page.locator("section.job").all())
    row = page.locator(f'[id="{EPISODE}"]')
    assert row.is_visible()
    assert "failure" in row.inner_text() or "success" in row.inner_text()
    assert page.locator(f"#{JOB} video[controls]").count() == 2 * 8, "two cameras, eight episodes"


@pytest.mark.parametrize("address", [GATED, EPISODE])
def test_an_address_works_without_a_script(open_page: Pages, page_of_a_run: Path, address: str) -> None:
    page = open_page(page_of_a_run, address=address, javascript=False)
    top = page.locator(f'[id="{address}"]').bounding_box()["y"]
    assert -2 < top < 200, "it is at the top of the window"


@pytest.mark.parametrize("address", ["", JOB])
def test_paper_is_white(open_page: Pages, page_of_a_run: Path, address: str) -> None:
    page = open_page(page_of_a_run, address=address, dark=True, media="print")
    style = "getComputedStyle(document.body)"
    assert page.evaluate(f"{style}.backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(f"{style}.color") == "rgb(0, 0, 0)"
    assert page.pdf().startswith(b"%PDF-")


@pytest.mark.parametrize("how", [{}, {"dark": True}, {"width": 390}])
def test_axe_finds_no_serious_fault_in_a_history(
    open_page: Pages, tmp_path: Path, axe: str, how: dict[str, Any]
) -> None:
    for day in range(1, 9):
        jobs = [
            made_up_job("reach", day / 10, rollout={"episodes": 10 * (day // 5 + 1)}),
            made_up_job("push"),
        ]
        make_up_run(tmp_path, f"2026010{day}T000000Z-0000", jobs)
    page = open_page(write_history(tmp_path), **how)
    page.locator("summary").first.click()
    page.evaluate(axe)
    faults = page.evaluate(RUN_AXE)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("javascript", [True, False])
@pytest.mark.parametrize("address", ["", JOB, GATED, COMPARED, CRASHED, EPISODE])
def test_a_phone_scrolls_downwards_only(
    open_page: Pages, page_of_a_run: Path, address: str, javascript: bool
) -> None:
    page = open_page(page_of_a_run, address=address, width=390, javascript=javascript)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
