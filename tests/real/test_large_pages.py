"""The page of a run so large that parts of its jobs are packed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_arena.reports.html import run_page
from pytest_arena.reports.html.run_page import write_run_page
from tests.browser import Pages
from tests.synthetic_runs import write_run


@pytest.fixture
def packed_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run_page, "LARGEST", 0)
    return write_run_page(write_run(tmp_path, [0, 1, 7], 8))


def test_jobs_and_episodes_are_unpacked_when_they_are_opened(open_page: Pages, packed_page: Path) -> None:
    page = open_page(packed_page, address="reach-0/episode-3")
    page.wait_for_selector("section.job.open .panel h4")
    assert "Episode 3" in page.inner_text(".panel h4")
    page.evaluate("location.hash = 'reach-7'")
    page.wait_for_selector("#reach-7.open .grid")
    page.evaluate("location.hash = 'reach-0'")
    page.wait_for_selector("#reach-0.open .grid")
    assert page.locator("#reach-0 .grid > a").count() == 8
    assert "JavaScript" not in page.inner_text("body")


def test_what_must_be_known_first_is_there_without_a_script(open_page: Pages, packed_page: Path) -> None:
    page = open_page(packed_page, address="push-1", javascript=False)
    said = page.inner_text("#push-1")
    assert "success_rate" in said
    assert "without JavaScript the rest is in the files named above" in said
    assert page.locator("#push-1 a[href='push-1/record.json']").is_visible()
