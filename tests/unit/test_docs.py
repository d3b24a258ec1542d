"""The documentation is true: names, links, paths and examples in it exist."""

from __future__ import annotations

import ast
import dataclasses
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pytest_arena
from pytest_arena.jobs.editor_schema import job_file_schema
from pytest_arena.records.for_reports import arena_metadata
from tests.unit.test_architecture import FIRST_WITH_PYTEST, FLOORS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def prose(page: Path) -> str:
    """Return the text of *page* without its code blocks."""
    return FENCED.sub("", page.read_text())


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of *page* in *language*."""
    return [text for found, text in FENCED.findall(page.read_text()) if found == language]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of *page*."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def section(page: str, title: str) -> str:
    """Return what stands under the heading *title* of a page, up to the next heading."""
    _, _, rest = (ROOT / page).read_text().partition(f"{title}\n")
    return re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]


def first_column(text: str) -> set[str]:
    """Return all words in backticks in the first column of the tables of *text*."""
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in LINK.findall(prose(ROOT / "README.md"))}
    assert {page for page in PAGES if page.name != "README.md"} <= linked


def test_the_page_of_the_api_has_every_public_name_and_no_other() -> None:
    named = re.findall(r"^\| `(\w+)` \|", prose(ROOT / "docs" / "api.md"), re.MULTILINE)
    assert sorted(named) == sorted(pytest_arena.__all__)


@each_page
def test_examples_import_public_names_only(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pytest_arena":
                names = [alias.name for alias in node.names]
                if node.module == "pytest_arena.testing":
                    from pytest_arena import testing

                    assert all(hasattr(testing, name) for name in names), names
                    continue
                assert node.module == "pytest_arena", f"{page.name}: {node.module}"
                assert not {*names} - {*pytest_arena.__all__}, f"{page.name}: {names}"


ARCHITECTURE = ROOT / "docs" / "architecture.md"


def floors_in_the_picture() -> Iterator[str]:
    """Yield the floors from the top down, and a line of dashes for the border to pytest."""
    (picture,) = blocks(ARCHITECTURE, "text")
    for line in picture.splitlines():
        word = line.split(maxsplit=1)[0] if line.strip() else ""
        if word.startswith("---"):
            yield "border"
        elif word and not line.startswith(" "):
            yield word.removesuffix("/").removesuffix(".py")


def test_the_picture_shows_the_floors_in_their_order() -> None:
    upper, lower = FLOORS[FIRST_WITH_PYTEST:], FLOORS[:FIRST_WITH_PYTEST]
    assert list(floors_in_the_picture()) == [*reversed(upper), "border", *reversed(lower)]


@each_page
def test_paths_of_the_package_exist(page: Path) -> None:
    """A word in backticks that looks like a path is one: from the root, or from the package."""
    for word in re.findall(r"`([\w./-]+)`", prose(page)):
        parts = word.split("/")
        if parts[0] in ("pytest_arena", "tests", "docs", "benchmarks", "evals", ".ci") and len(parts) > 1:
            assert (ROOT / word).exists(), f"{page.name}: {word}"
        elif parts[0] in FLOORS and len(parts) > 1:
            assert (ROOT / "pytest_arena" / word).exists(), f"{page.name}: {word}"


def test_contributing_has_the_tiers_of_the_tests() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    markers = [text.partition(":")[0] for text in settings["tool"]["pytest"]["ini_options"]["markers"]]
    assert re.findall(r"^\| `(\w+)` \|", prose(ROOT / "CONTRIBUTING.md"), re.MULTILINE) == markers


def keys_of(schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    """Yield the dotted keys of a JSON Schema that have no keys below them."""
    schema = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    for choice in schema.get("anyOf", ()):
        yield from keys_of(choice, definitions)
    for key, value in schema.get("properties", {}).items():
        below = [f"{key}.{name}" for name in keys_of(value, definitions)]
        yield from below or [key]


def test_the_page_of_job_files_has_every_key() -> None:
    schema = job_file_schema()
    keys = set(keys_of(schema["properties"]["jobs"]["additionalProperties"], schema["$defs"]))
    text = section("docs/job-files.md", "## Keys of a job")
    documented = first_column(text + section("docs/job-files.md", "### Gates")) - {"policy.…"}
    assert not {key for key in documented if not any(f"{known}.".startswith(f"{key}.") for known in keys)}
    assert not {
        key for key in keys if not any(f"{key}.".startswith(f"{known}.") for known in documented - {"gate"})
    }
    settings = first_column(section("docs/baselines.md", "## The key `regression`"))
    assert {f"regression.{key}" for key in settings} == {key for key in keys if key.startswith("regression.")}


@pytest.mark.parametrize(
    ("title", "model"),
    [("## episodes.jsonl", pytest_arena.Episode), ("## record.json", pytest_arena.JobRecord)],
)
def test_the_page_of_results_has_every_key_of_a_record(title: str, model: Any) -> None:
    text = section("docs/results.md", title).partition("`gate` holds all")[0]
    keys = {field.name.removesuffix("_") for field in dataclasses.fields(model)}
    assert first_column(text) == {"schema_version", *keys}


def test_the_page_of_results_has_what_reports_say_of_a_job() -> None:
    text = section("docs/results.md", "## report.json").partition("They mean")[0]
    keys = arena_metadata(pytest_arena.JobRecord("job", 1, "", "", "", "", None))
    assert re.findall(r"`(\w+)`", text.partition("`metadata.arena`")[2]) == list(keys)


def test_the_readme_has_every_option() -> None:
    source = (ROOT / "pytest_arena" / "options.py").read_text()
    table = section("README.md", "## Options")
    assert {*re.findall(r"^\| `(--[\w-]+)", table, re.MULTILINE)} == {
        *re.findall(r'"(--arena-[\w-]+)"', source)
    }
    assert {*re.findall(r"\| `(arena_\w+)` \|", table)} == {*re.findall(r'addini\(\s*"(arena_\w+)"', source)}


def test_names_of_the_architecture_are_in_the_package() -> None:
    """A name in backticks, such as `Attempt.add`, is one that the code has."""
    code = "\n".join(path.read_text() for path in (ROOT / "pytest_arena").rglob("*.py"))
    names = {
        part for word in re.findall(r"`(\w+(?:\.\w+)?)`", prose(ARCHITECTURE)) for part in word.split(".")
    }
    assert not {name for name in names - {"json", "jsonl"} if not re.search(rf"\b{name}\b", code)}
