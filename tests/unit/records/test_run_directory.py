from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pytest_arena import (
    Episode,
    JobRecord,
    Outcome,
    RunDirectory,
    Status,
    ThresholdResult,
    Verdict,
    read_episodes,
)
from pytest_arena.records.attempt import Attempt
from pytest_arena.records.episodes import JsonLinesWriter, write_episodes
from pytest_arena.records.files import write_json
from pytest_arena.records.interrupted_attempt import keep_measured
from pytest_arena.records.json_files import json_lines
from pytest_arena.records.run_directory import RESULTS, earlier_record
from tests.jobs import make_job


def test_simultaneous_sessions_never_collide(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: RunDirectory.create(tmp_path).path, range(200)))
    assert len(set(made)) == 200


def test_attempts_lie_side_by_side(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert [run.claim("reach").path.name for _ in range(3)] == ["reach", "reach.2", "reach.3"]
    assert run.claim("push").attempt == 1


def test_a_job_named_like_an_attempt_gets_its_own_folder(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.claim("reach")
    assert run.claim("reach.2").path.name == "reach.2"
    assert run.claim("reach").path.name == "reach.3"


def test_json_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})

    class Stubborn:
        def tolist(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_json(path, {"a": Stubborn()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_the_first_manifest_wins(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.publish_manifest({"by": "gw0"})
    run.publish_manifest({"by": "gw1"})
    run.finish_manifest(exit_status=0)
    assert json.loads(run.manifest_path.read_text()) == {"by": "gw0", "exit_status": 0}


def test_a_cut_off_last_line_is_left_out_and_another_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a":')
    assert [line["a"] for _, line in json_lines(path)] == [1, 2]
    path.write_text('{"a": 1}\n{"a":\n{"a": 3}\n')
    with pytest.raises(ValueError, match="line 2"):
        list(json_lines(path))


def test_a_line_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    writer = JsonLinesWriter(tmp_path / "lines.jsonl")
    writer.append({"a": float("nan")})
    assert (tmp_path / "lines.jsonl").read_text() == '{"a": null}\n'
    with pytest.raises(FileExistsError):
        JsonLinesWriter(tmp_path / "lines.jsonl")


def test_records_survive_the_round_trip_and_unknown_keys(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    attempt = Attempt.begin(make_job(), run, "job", "a.py::t[job]")
    directory, record = attempt.directory, attempt.record
    record.thresholds = [ThresholdResult("m", ">= 1", 0.5, False)]
    record.verdict = Verdict.FAIL
    attempt.fail(ValueError("boom"))
    data = record.to_json()
    data["new_in_a_later_version"] = 1
    data["thresholds"][0]["also_new"] = 2
    write_json(directory.record, data)
    (read,) = run.records()
    assert read.status is Status.ERROR
    assert read.error is not None
    assert read.error["type"] == "ValueError"
    assert read.thresholds == record.thresholds
    minimal = {
        key: data[key] for key in ("job", "attempt", "config_sha256", "simulator", "environment", "policy")
    }
    assert JobRecord.from_json(minimal).status is Status.RUNNING


@pytest.mark.parametrize("kind", [JobRecord, Episode])
@pytest.mark.parametrize("data", [[], 3, "text", None])
def test_what_is_no_object_is_no_record(kind: type[JobRecord | Episode], data: Any) -> None:
    with pytest.raises(ValueError, match=f"expected the keys of {kind.__name__}, got"):
        kind.from_json(data)


def test_a_killed_job_is_left_as_running(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    Attempt.begin(make_job(), run, "job")
    assert next(iter(run.records())).status is Status.RUNNING


def test_episodes_are_read_in_episode_order(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl"
    line = {
        "job": "j", "attempt": 1, "rebuild": 0, "seed": 1, "env_idx": 0, "start_step": 0, "end_step": 1,
        "length": 2, "outcome": "success", "success_once": True, "success_at_end": True, "success_at_reset": None,
        "return": 1.5, "end_reason": "x", "started_at": "", "wall_time_seconds": 0.0, "from_the_future": 1,
    }  # fmt: skip
    path.write_text("".join(json.dumps({**line, "episode": i}) + "\n" for i in (2, 0, 1)))
    episodes = read_episodes(path)
    assert [e.episode for e in episodes] == [0, 1, 2]
    assert episodes[0].return_ == 1.5
    assert Episode.from_json(episodes[0].to_json()) == episodes[0]


def test_films_that_were_finished_when_the_process_died_are_taken_over(tmp_path: Path) -> None:
    """A failure is filmed after the line of its episode was written."""
    directory = RunDirectory(tmp_path).claim("reach")
    numbers = dict.fromkeys(("rebuild", "env_idx", "start_step", "end_step"), 0)
    lines = [
        Episode(
            job="reach", attempt=1, episode=k, seed=1, length=1, outcome=Outcome.FAILURE, success_once=False,
            success_at_end=False, success_at_reset=None, return_=0.0, end_reason="", started_at="",
            wall_time_seconds=0.0, **numbers,
        )
        for k in range(2)
    ]  # fmt: skip
    write_episodes(directory.episodes, lines)
    (directory.path / "videos").mkdir()
    names = [f"episode-000{k}-env0-top-left.mp4" for k in (1, 2)]  # of episode 2, the line was lost
    for name in (*names, ".episode-0000-env0-top-left.mp4"):
        (directory.path / "videos" / name).write_bytes(b"film")
    kept = keep_measured(directory)
    assert [e.videos for e in kept] == [{}, {"top-left": "reach/videos/episode-0001-env0-top-left.mp4"}]
    assert [path.name for path in (directory.path / "videos").iterdir()] == ["episode-0001-env0-top-left.mp4"]
    assert read_episodes(directory.episodes)[1].videos == kept[1].videos


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The folder of runs where no other is asked for."""
    return tmp_path / RESULTS


def test_latest_leads_to_the_newest_run(results: Path) -> None:
    runs = []
    for _ in range(2):
        runs.append(RunDirectory.create(results))
        assert (results / "latest").resolve() != runs[-1].path, "a directory that nobody uses yet"
        runs[-1].publish_manifest({"jobs": {}})
        runs[0].publish_manifest({"jobs": {}})  # a worker that was late
        assert (results / "latest").resolve() == runs[-1].path.resolve()
    assert (results / "latest").readlink() == Path(runs[1].path.name), "it may be moved with its folder"
    assert {path.name for path in results.iterdir()} == {"latest", *(run.path.name for run in runs)}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_has_the_name_latest_is_left_alone(results: Path, kind: str) -> None:
    results.mkdir()
    latest = results / "latest"
    latest.mkdir() if kind == "folder" else latest.write_text("mine")
    run = RunDirectory.create(results)
    run.publish_manifest({"jobs": {}})
    assert not latest.is_symlink()
    assert {path.name for path in results.iterdir()} == {"latest", run.path.name}


def test_where_links_cannot_be_made_there_is_none(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("links are not supported")

    monkeypatch.setattr("os.symlink", refuse)
    run = RunDirectory.create(results)
    run.publish_manifest({"jobs": {}})
    assert [path.name for path in results.iterdir()] == [run.path.name]


def test_the_link_latest_is_no_earlier_run(results: Path) -> None:
    run = RunDirectory.create(results)
    Attempt.begin(make_job(), run, "job")
    run.publish_manifest({"jobs": {}})
    assert earlier_record(run.path, "job", attempt=1) is None


def test_files_beside_the_runs_are_no_earlier_ones(results: Path) -> None:
    first = RunDirectory.create(results)
    for name in ("index.html", ".runs.jsonl", f"{first.path.name}.zip"):
        (results / name).write_text("")
    assert list(RunDirectory.create(results).earlier()) == [first]


def test_a_folder_that_was_asked_for_holds_nothing_but_runs(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "mine")
    run.publish_manifest({"jobs": {}})
    assert list((tmp_path / "mine").iterdir()) == [run.path]


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.EMLINK])
def test_without_hard_links_the_first_manifest_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refused(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refused)
    run = RunDirectory.create(tmp_path)
    for job in ("first", "second"):
        run.publish_manifest({"jobs": {}, "command": [job]})
    assert json.loads(run.manifest_path.read_text())["command"] == ["first"]
    assert [path.name for path in run.path.iterdir()] == ["run.json"]


def recorded(run: RunDirectory, folder: str, job: str, attempt: int) -> None:
    (run.path / folder).mkdir()
    record = JobRecord(job, attempt, "", "gymnasium", "CartPole-v1", "zero")
    write_json(run.path / folder / "record.json", record.to_json())


def test_a_record_out_of_place_is_nobodys_last_attempt(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for folder, attempt in {"a": 1, "a.2": 2, ".x": 9, ".a.3": 3, "x": 9, "a.4": 5, "a.5": 1}.items():
        recorded(run, folder, "a", attempt)
    assert sorted(record.attempt for record in run.records()) == [1, 2]
    assert run.latest()["a"].attempt == 2
    reopened = run.reopen("a")
    assert reopened is not None
    assert reopened[0].path.name == "a.2"
