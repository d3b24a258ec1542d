"""Text that somebody else has written, in every place of a run's files: in the page it is text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_arena.__main__ import main
from pytest_arena.reports.html import comparison_page, history_page, run_page
from pytest_arena.reports.html.history_page import write_history
from pytest_arena.reports.html.render import Inline
from pytest_arena.reports.html.run_page import write_run_page
from tests.synthetic_runs import write_run

OF_A_KIND = {"schema_version", "status", "verdict", "outcome", "reduction", "job", "label"}
"""Keys whose values have meanings, or name folders: with another value the file is broken, see the test of that."""
FREE = ("metrics", "intervals", "unmeasured", "definitions", "videos", "versions", "timings", "options")
"""Keys below which names may be any."""
OF_A_COMPARISON = OF_A_KIND | {"inconclusive", "direction", "metric", "started_at", "success_rate", "type"}
"""Those of which ``compare`` makes use as well."""
PIECES = (
    "</script><script>pwned()</script>",
    "<pwned onclick=pwned()>",
    "</noscript><pwned>",
    "<!--",
    "-->",
    "]]>",
    '"><pwned>',
    "'><pwned>",
    "<img src=x onerror=pwned()>",
    "</style></title></textarea></pre></svg></table></section></main>",
    "<svg onload=pwned()>",
    "javascript:pwned()",
    "http://pwned.example/",
    "{{ 7*7 }}{% raw %}",
    "&lt;pwned&gt;&#x3c;pwned>",
    "\u202e\u2066\u200f\ufeff",
    "\0\x01\x1b[31m\x85\u2028",
    "\ud800",
    "x" * 10_000,
    "",
)
TEXTS = st.lists(
    st.sampled_from(PIECES) | st.text(st.characters(exclude_categories=()), max_size=20), max_size=4
).map("".join)


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with films' names, a gate, a comparison, a crash, an error, and a job that never ran."""
    return write_run(tmp_path_factory.mktemp("run"), [0, 1, 2, 3, 40, 42, 96], 3, films=False)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXTS, min_size=1, max_size=8))
def test_text_is_text(plain_run: Path, tmp_path: Path, texts: list[str]) -> None:
    again = cycle(texts)
    rewrite(plain_run, tmp_path / "run", lambda text: next(again))
    require_only_ours(write_run_page(tmp_path / "run").read_text(encoding="utf-8"))


@pytest.mark.parametrize("piece", PIECES)
def test_each_piece_in_all_places_is_text(plain_run: Path, tmp_path: Path, piece: str) -> None:
    rewrite(plain_run, tmp_path / "run", lambda text: piece)
    page = write_run_page(tmp_path / "run").read_text(encoding="utf-8")
    require_only_ours(page)
    assert "cannot be read" not in page, "each file is read, whatever its texts are"


def cycle(texts: list[str]) -> Iterator[str]:
    while True:
        yield from texts


def rewrite(run: Path, to: Path, text: Callable[[str], str], kept: Collection[str] = OF_A_KIND) -> None:
    """Copy *run* with other texts: values of all keys that may have any, and names of metrics and of cameras."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(run, to)
    for path in [*to.glob("*/record.json"), to / "run.json"]:
        path.write_text(json.dumps(changed(json.loads(path.read_text()), text, kept)))
    for path in to.glob("*/episodes.jsonl"):
        lines = [
            json.dumps(changed(json.loads(line), text, kept)) + "\n" for line in path.read_text().splitlines()
        ]
        path.write_text("".join(lines))


def changed(data: Any, text: Callable[[str], str], kept: Collection[str], key: str = "") -> Any:
    if isinstance(data, str):
        return data if key in kept else text(data)
    if isinstance(data, list):
        return [changed(item, text, kept, key) for item in data]
    if isinstance(data, dict):
        return {
            text(name) if key in FREE else name: changed(item, text, kept, name)
            for name, item in data.items()
        }
    return data


class Elements(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.addresses: set[str] = set()
        self.contents: dict[str, list[str]] = {"script": [], "style": []}
        self.comments: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(tag, name) for name, _ in attrs}
        self.addresses |= {
            value or "" for name, value in attrs if name in ("href", "src", "poster", "xlink:href")
        }
        if tag in self.contents:
            self.contents[tag].append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is not None:
            self.contents[self.cdata_elem][-1] += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def require_only_ours(page: str, kind: Any = run_page) -> None:
    """Fail if *page* holds what we did not write. It is read as without scripts: all of it is parsed."""
    found = Elements()
    found.feed(page)
    found.close()
    inline = Inline.of(kind.STYLES, kind.SCRIPTS)
    assert found.contents == {"script": [inline.script], "style": [inline.style]}
    assert found.comments == []
    assert "pwned" not in found.tags
    assert found.tags.isdisjoint({"img", "iframe", "object", "embed", "base", "link", "form", "textarea"})
    foreign = {(tag, name) for tag, name in found.attributes if name.startswith("on") or name == "style"}
    assert foreign == set()
    assert {a for a in found.addresses if ":" in a.partition("/")[0] or a.startswith(("/", "\\"))} == set()


@pytest.mark.parametrize("piece", PIECES)
def test_so_it_is_in_the_pages_of_several_runs(plain_run: Path, tmp_path: Path, piece: str) -> None:
    runs = [tmp_path / "runs" / name for name in ("20261130T100000Z-0000", "20261130T110000Z-0000")]
    for run in runs:
        rewrite(plain_run, run, lambda text: piece, OF_A_COMPARISON)
    require_only_ours(write_history(tmp_path / "runs").read_text(encoding="utf-8"), history_page)
    page = tmp_path / "comparison.html"
    assert main(["compare", *map(str, runs), "--html", str(page)]) in (0, 1, 2), (
        "no job is worse, one is, or it cannot be told"
    )
    require_only_ours(page.read_text(encoding="utf-8"), comparison_page)
