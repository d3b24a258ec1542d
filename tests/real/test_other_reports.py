"""pytest-html and Allure show jobs: their metrics, their films, and the way to the page of the run."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Suite

JOBS = {
    "good": {"thresholds": {"success_rate": ">= 0.1"}},
    "bad": {"thresholds": {"success_rate": ">= 0.95", "episode_length": "<= 2"}},
    "broken": {"policy": {"type": "tests.registered:Broken", "level": None}},
    "parts": {"rollout": {"episodes": 4, "shards": 2}, "thresholds": {"success_rate": ">= 0.99"}},
}
ALONE_AND_WITH_WORKERS = pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])


@pytest.fixture(autouse=True)
def installed_plugins(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs of other tests are without these."""
    options = os.environ["PYTEST_ADDOPTS"].replace("-p no:html", "").replace("-p no:allure_pytest", "")
    monkeypatch.setenv("PYTEST_ADDOPTS", options)


def run(suite: Suite, *args: str) -> pytest.RunResult:
    """Run the jobs, and a test without one."""
    suite.jobs(
        JOBS,
        environment={
            "id": "tests.registered:arena/Skilled-v0",
            "cameras": {"render": {"width": 64, "height": 64}},
        },
        policy={"type": "tests.registered:Skill", "level": 0.5},
    )
    suite.test(
        "import pytest\n\n\n@pytest.mark.arena('jobs.yaml')\n"
        "def test_it(arena_rollout):\n    arena_rollout().assert_thresholds()\n\n\ndef test_other(): pass\n"
    )
    return suite.run(*args)


def html_tests(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Test -> what pytest-html's report has of it."""
    found = re.search(r'data-jsonblob="([^"]*)"', path.read_text())
    assert found is not None
    return json.loads(html.unescape(found[1]))["tests"]


@ALONE_AND_WITH_WORKERS
def test_pytest_html_shows_metrics_films_and_the_page(suite: Suite, workers: tuple[str, ...]) -> None:
    pytest.importorskip("pytest_html")
    assert run(suite, "--html=out/report.html", *workers).ret == 1
    tests = html_tests(suite.path / "out" / "report.html")
    for name, word in {
        "good": "<td>✓ &gt;= 0.1</td>",
        "bad": "<td>✗ &gt;= 0.95</td>",
        "broken": "<p>ValueError: the policy broke at action 3</p>",
        "parts": "<td>✗ &gt;= 0.99</td>",
    }.items():
        (entry,) = tests[f"test_it.py::test_it[{name}]"]
        kinds = [extra["format_type"] for extra in entry["extras"]]
        assert kinds[:2] == ["html", "url"]
        assert word in entry["extras"][0]["content"]
        page, _, address = entry["extras"][1]["content"].partition("#")
        assert (suite.path / "out" / page).resolve() == (suite.run_dir / "index.html").resolve()
        assert address == name
        films = [extra["content"] for extra in entry["extras"][2:]]
        assert all((suite.path / "out" / film).is_file() for film in films)
        assert bool(films) == (name != "broken")
    assert tests["test_it.py::test_other"][0]["extras"] == []


def test_a_report_in_one_file_has_the_films_in_it(suite: Suite) -> None:
    pytest.importorskip("pytest_html")
    result = run(suite, "--html=report.html", "--self-contained-html", "-W", "error")
    assert result.ret == 1
    assert "INTERNALERROR" not in result.stdout.str()
    (entry,) = html_tests(suite.path / "report.html")["test_it.py::test_it[bad]"]
    films = [extra["content"] for extra in entry["extras"] if extra["format_type"] == "video"]
    assert films
    assert all(film.startswith("data:video/mp4;base64,") for film in films)


def test_a_browser_plays_the_films_of_pytest_html(suite: Suite, open_page: Callable[..., Any]) -> None:
    pytest.importorskip("pytest_html")
    run(suite, "--html=report.html", "-k", "bad")
    page = open_page(suite.path / "report.html")
    video = page.locator("video").first
    video.wait_for()
    video.evaluate("video => video.play()")
    page.wait_for_function("() => document.querySelector('video').currentTime > 0")
    assert "episode_length" in page.locator(".extraHTML table").first.inner_text()


def test_what_cannot_be_shown_is_a_warning(suite: Suite) -> None:
    pytest.importorskip("pytest_html")
    suite.pytester.makeconftest(
        "from pytest_arena.reports import pytest_html\n"
        "def broken(*_): raise RuntimeError('out of luck')\n"
        "pytest_html.metrics_table = broken\n"
    )
    result = run(suite, "--html=report.html", "-k", "good", "-W", "error")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*pytest-html shows nothing of good: RuntimeError: out of luck"])


@ALONE_AND_WITH_WORKERS
def test_allure_has_metrics_and_films_as_attachments(suite: Suite, workers: tuple[str, ...]) -> None:
    pytest.importorskip("allure_pytest")
    assert run(suite, "--alluredir=allure", *workers).ret == 1
    found = [json.loads(path.read_text()) for path in (suite.path / "allure").glob("*-result.json")]
    tests = {result["name"].partition("[")[2].removesuffix("]"): result for result in found}
    assert {*tests} == {"good", "bad", "broken", "parts-shard0of2", "parts-shard1of2", ""}
    for name, result in tests.items():
        attached = result.get("attachments", [])
        if not name:
            assert attached == []
            continue
        assert attached[0]["name"] == "metrics"
        metrics = json.loads((suite.path / "allure" / attached[0]["source"]).read_text())
        assert metrics["job"] == name
        assert metrics["page"] == f"arena-results/{suite.run_dir.name}/index.html#{name}"
        assert metrics["verdict"] == suite.record(name)["verdict"]
        assert {"name": "arena_job", "value": f"'{name}'"} in result["parameters"]
        films = [attachment for attachment in attached[1:] if attachment["type"] == "video/mp4"]
        assert all((suite.path / "allure" / film["source"]).stat().st_size for film in films)
        if name in ("good", "bad"):
            assert films[0]["name"] == "overview"


def test_plugins_that_are_installed_and_not_used_cost_nothing(suite: Suite) -> None:
    pytest.importorskip("pytest_html")
    pytest.importorskip("allure_pytest")
    suite.pytester.makeconftest(
        "import sys\n"
        "def pytest_unconfigure():\n"
        "    assert not [name for name in sys.modules if name.startswith('pytest_arena.reports.')\n"
        "                and name.endswith(('.pytest_html', '.allure'))]\n"
    )
    assert run(suite, "-k", "good").ret == 0
