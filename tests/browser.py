"""Chromium, for tests of the pages that a run leaves. Its fixtures are for every test in ``tests/real/``.

```python
def test_a_job_opens(open_page, tmp_path):
    page = open_page(write_run_page(run_dir), address="reach")   # playwright's sync Page
    assert page.locator("section.open h2").inner_text() == "reach"
```

What must never happen on a page is watched while the test runs, and fails it when it ends: an error or warning
in the console (what the page's own policy refuses is one), an exception of a script, a request for anything
outside the page's folder, a dialog, a second window.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.lacking import lacking

HANG = 60_000
"""Milliseconds after which the browser is considered hung; nothing is asserted about time."""
FLAGS = ["--no-sandbox", "--disable-gpu", "--mute-audio", "--disable-background-networking"]


@pytest.fixture(scope="session")
def browser_path() -> str:
    """Chromium."""
    return (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or lacking("no browser: apt-get install chromium")
    )


@pytest.fixture(scope="session")
def browser(browser_path: str) -> Iterator[Browser]:
    """One browser for all tests of this process."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("no playwright: pip install playwright")
    playwright = sync_playwright().start()
    process = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
    started = Browser(process, asyncio.get_running_loop())
    asyncio._set_running_loop(None)
    yield started
    with started.in_use():
        process.close()
        playwright.stop()


class Browser:
    """A browser, and playwright's event loop, which runs in the thread of the tests until the session ends.

    While no test uses it, the thread looks as if it had no loop: other tests may run one of their own.
    """

    def __init__(self, process: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.process, self._loop = process, loop

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Let playwright's loop be the running one."""
        asyncio._set_running_loop(self._loop)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Pages]:
    """Call it to open a page: see `Pages.__call__`. When the test ends nothing may be in its ``problems``."""
    with browser.in_use():
        pages = Pages(browser.process)
        yield pages
        pages.close()
    assert not pages.problems, "\n".join(pages.problems)


class Pages:
    """Pages that a test has opened."""

    def __init__(self, process: Any) -> None:
        self._process, self._contexts = process, list[Any]()
        self.problems: list[str] = []
        """What the pages did that no page may do. A test of that looks at it with `settled` and clears it."""
        self.requests: list[str] = []
        """URLs of everything that the pages asked for: themselves, films, data."""

    def __call__(
        self,
        path: Path,
        *,
        address: str = "",
        dark: bool = False,
        width: int = 1280,
        javascript: bool = True,
        media: str = "screen",
        ignore_policy: bool = False,
    ) -> Any:
        """Open the file *path* in a window of its own, and wait until it has loaded.

        Args:
            path: The page.
            address: What follows the ``#``: ``reach/episode-3``.
            dark: Whether the system prefers dark colours.
            width: Of the window in pixels; 390 is a phone.
            javascript: Whether scripts run.
            media: ``screen`` or ``print``.
            ignore_policy: Whether the page's ``Content-Security-Policy`` is void, for tests that add a script.

        Returns:
            Playwright's ``Page`` (sync). Its ``evaluate`` works without JavaScript too.
        """
        context = self._process.new_context(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if dark else "light",
            java_script_enabled=javascript,
            bypass_csp=ignore_policy,
        )
        context.set_default_timeout(HANG)
        self._contexts.append(context)
        page = context.new_page()
        self._watch(context, page, path.resolve().parent)
        page.emulate_media(media=media)
        page.goto(path.resolve().as_uri() + (f"#{address}" if address else ""))
        return page

    def _watch(self, context: Any, page: Any, folder: Path) -> None:
        def asked(request: Any) -> None:
            self.requests.append(request.url)
            url = urlsplit(request.url)
            at = Path(os.path.normpath(unquote(url.path)))
            beside = (url.scheme, url.netloc) == ("file", "") and at.is_relative_to(folder)
            if not beside and url.scheme not in ("data", "blob"):
                self.problems.append(f"a request for {request.url[:200]}")

        def said(message: Any) -> None:
            if message.type in ("error", "warning"):
                self.problems.append(f"console, {message.type}: {message.text[:500]}")

        def dialog(shown: Any) -> None:
            self.problems.append(f"a dialog: {shown.message[:200]}")
            shown.dismiss()

        context.on("request", asked)
        context.on("page", lambda opened: self.problems.append(f"a second window: {opened.url}"))
        page.on("console", said)
        page.on("pageerror", lambda error: self.problems.append(f"an exception: {error}"))
        page.on("websocket", lambda socket: self.problems.append(f"a request for {socket.url}"))
        page.on("dialog", dialog)

    def settled(self) -> list[str]:
        """Return ``problems`` when all that the pages have done so far is in it."""
        for context in self._contexts:
            for page in context.pages:
                page.evaluate("0")  # the answer comes after what was said before
        return self.problems

    def close(self) -> None:
        """Close the windows."""
        try:
            self.settled()
        finally:
            for context in self._contexts:
                context.close()
