"""Where a page finds films: beside itself, in itself, and never outside of its run directory."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from urllib.parse import unquote

import pytest

from pytest_arena.reports.html.embedding import embedded
from pytest_arena.reports.html.films import Films
from tests.unit.gate.samples import episode
from tests.unit.reports.html.page_jobs import stored


@pytest.mark.parametrize("name", ["a b.mp4", "50%.mp4", "a#b?c.mp4", "ä&'\".mp4", "data:x.mp4", "a\\b.mp4"])
def test_any_name_becomes_a_relative_url(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"film")
    source = Films(tmp_path).source(name)
    assert source is not None
    assert unquote(source) == name
    assert not set(source) & set(" #?:&'\"\\")


def test_a_missing_film_is_noted_once_a_job_with_the_first_few(tmp_path: Path) -> None:
    films = Films(tmp_path)
    assert [films.source(f"reach/{number}.mp4") for number in range(5)] == [None] * 5
    assert films.take_notes() == ["5 files are missing: reach/0.mp4, reach/1.mp4, reach/2.mp4, …"]
    assert films.take_notes() == []
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path in ("folder", "pipe", "a\0b", "\ud800"):
        assert films.source(path) is None
    assert films.take_notes()[0].startswith("4 files are missing: folder, pipe, ")


def test_paths_that_lead_out_of_the_run_directory_are_not_followed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "job").mkdir(parents=True)
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (run / "job" / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (run / "linked").symlink_to(tmp_path)
    (run / "round").symlink_to("round")
    (run / "job" / "film.mp4").write_bytes(b"film")
    (run / "job" / "again.mp4").symlink_to("film.mp4")
    paths = ["../secret.mp4", str(tmp_path / "secret.mp4"), "job/../../secret.mp4", "job/link.mp4"]
    films = Films(run, embedded={*paths, "linked/secret.mp4"})
    assert [films.source(path) for path in (*paths, "linked/secret.mp4", "round/x.mp4", "")] == [None] * 7
    [note] = films.take_notes()
    assert note.startswith("7 paths that lead out of the run directory, not followed: ../secret.mp4, /")
    assert films.source("job/again.mp4") == "job/again.mp4"


def test_an_embedded_film_is_its_content(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"film")
    (tmp_path / "poster.jpg").write_bytes(b"poster")
    films = Films(tmp_path, embedded={"film.mp4", "poster.jpg", "gone.mp4"})
    assert films.source("film.mp4") == "data:video/mp4;base64," + base64.b64encode(b"film").decode()
    assert films.source("poster.jpg") == "data:image/jpeg;base64," + base64.b64encode(b"poster").decode()
    assert films.source("gone.mp4") is None


def film(run: Path, path: str, size: int) -> str:
    (run / path).parent.mkdir(parents=True, exist_ok=True)
    (run / path).write_bytes(b"x" * size)
    return path


def test_films_of_failures_are_embedded_first_all_over_the_run(tmp_path: Path) -> None:
    jobs = []
    for name, successes in (("a", (False, False, True)), ("b", (True, False))):
        episodes = []
        for index, success in enumerate(successes):
            videos = {camera: film(tmp_path, f"{name}/{index}-{camera}.mp4", 30) for camera in ("one", "two")}
            episodes.append(episode(index, success, videos=videos))
        overview = {"film": film(tmp_path, f"{name}/overview.mp4", 6)}
        jobs.append(stored(tmp_path, episodes, name, overview=overview))
    films = Films(tmp_path)
    # An episode's two films take 2 * 40 characters. The first failure of each job comes before a second one.
    cases = {
        79: ({"a/overview.mp4", "b/overview.mp4"}, "0 of 10 films"),
        80: ({"a/0-one.mp4", "a/0-two.mp4"}, "2 of 10 films"),
        240: ({f"{e}-{c}.mp4" for e in ("a/0", "b/1", "a/1") for c in ("one", "two")}, "6 of 10 films"),
        10_000: ({path for job in jobs for path in map(str, _paths(tmp_path, job.label))}, "all 10 films"),
    }
    for budget, (expected, said) in cases.items():
        paths, sentence = embedded(jobs, films, budget)
        assert (paths, sentence[: len(said)]) == (expected, said)
    assert films.take_notes() == []


def test_a_run_without_films_says_so(tmp_path: Path) -> None:
    job = stored(tmp_path, [episode(0), episode(1, videos={"front": "reach/gone.mp4"})])
    none = (frozenset[str](), "the run has no films that could be put into this page")
    assert embedded([job], Films(tmp_path), 1000) == none
    film(tmp_path, "reach/gone.mp4", 30)
    assert embedded([job], Films(tmp_path), 1000)[1] == "the only film is in this page"


def _paths(run: Path, job: str) -> list[Path]:
    return [path.relative_to(run) for path in (run / job).glob("*.mp4")]
