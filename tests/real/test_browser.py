"""The browser of the tests: it sees everything that no page may do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.browser import Browser, Pages

PAGE = "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>a page</title>{}"
POLICY = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">"


def written(folder: Path, content: str) -> Path:
    path = folder / "page.html"
    path.write_text(PAGE.format(content))
    return path


def test_a_page_that_does_nothing_has_no_problem(open_page: Pages, tmp_path: Path) -> None:
    path = written(tmp_path, "<p>text<noscript><p>no script</noscript><script>console.log('fine')</script>")
    assert "no script" not in open_page(path).inner_text("body")
    assert "no script" in open_page(path, javascript=False).inner_text("body")
    assert open_page.requests == [path.as_uri()] * 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("<script>console.error('bad')</script>", "console, error: bad"),
        ("<script>console.warn('odd')</script>", "console, warning: odd"),
        ("<script>throw new Error('thrown')</script>", "an exception: thrown"),
        ("<script>alert('hello')</script>", "a dialog: hello"),
        ("<img src=http://127.0.0.1:9/x.png>", "a request for http://127.0.0.1:9/x.png"),
        ("<img src=../x.png>", "a request for file:"),
        ("<img src=not-there.png>", "console, error: Failed to load resource"),
        ("<script>fetch('http://127.0.0.1:9/').catch(() => 0)</script>", "a request for http://127.0.0.1:9/"),
        ("<script>new WebSocket('ws://127.0.0.1:9')</script>", "a request for ws://127.0.0.1:9"),
        (POLICY + "<script>1</script>", "console, error: "),
        (POLICY + "<p style='color: red'>red", "console, error: "),
        (POLICY + "<img src=x.png>", "console, error: "),
    ],
)
def test_what_no_page_may_do_is_seen(open_page: Pages, tmp_path: Path, content: str, problem: str) -> None:
    open_page(written(tmp_path, content))
    assert [found for found in open_page.settled() if found.startswith(problem)], open_page.problems
    open_page.problems.clear()


def test_other_event_loops_run_between_tests_of_pages(browser: Browser) -> None:
    async def answer() -> int:
        return 42

    assert asyncio.run(answer()) == 42
