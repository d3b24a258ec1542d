"""A run directory from anybody is checked as a whole, and refused in one line that names the file."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from pytest_arena import Job, RunDirectoryError, evaluate
from pytest_arena.evaluation.stored_run_check import check_run, same_test
from pytest_arena.records.files import write_json
from tests.jobs import make_job

Edit = Callable[[Path], None]


def scripted(name: str = "a", **changes: Any) -> Job:
    environment = {"id": "tests.registered:arena/Scripted-v0", "num_envs": 2, "seed": 5}
    return make_job(
        name, **{"environment": environment, "rollout": {"episodes": 5, "rebuilds": 2}, **changes}
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one job, of five episodes in two rows and two rebuilds."""
    output = tmp_path_factory.mktemp("whole")
    job = scripted()
    evaluate(job, output=output)
    run = next(path for path in output.iterdir() if not path.is_symlink())
    write_json(run / "run.json", {"jobs": {"a": {"nodeid": "t.py::t[a]", "config": job.config()}}})
    check_run(run)
    return run


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def refusal(run: Path) -> str:
    with pytest.raises(RunDirectoryError) as raised:
        check_run(run)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def edited(path: Path, **keys: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def edited_line(path: Path, number: int, **keys: Any) -> None:
    lines = path.read_text().splitlines(keepends=True)
    lines[number - 1] = json.dumps({**json.loads(lines[number - 1]), **keys}) + "\n"
    path.write_text("".join(lines))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"record_path": "../../victim/record.json"}, "record_path: expected 'a/record.json', got '../../"),
        ({"episodes_path": "/etc/passwd"}, "episodes_path: expected 'a/episodes.jsonl', got '/etc/passwd'"),
        ({"hdf5_path": "../x.hdf5"}, "hdf5_path: expected a file in a, got '../x.hdf5'"),
        ({"hdf5_path": "b/x.hdf5"}, "hdf5_path: expected a file in a, got 'b/x.hdf5'"),
        ({"videos": ["a/videos/../../../x.mp4"]}, "videos[0]: expected a file in a"),
        ({"videos": ["a/videos/\0.mp4"]}, "videos[0]: expected a file in a"),
        ({"overview": {"film": "/x.mp4"}}, "overview.film: expected a file in a, got '/x.mp4'"),
        ({"job": "b"}, "job: expected 'a', got 'b'"),
        ({"attempt": 2}, "attempt: expected 1, got 2"),
        ({"attempt": "1"}, "attempt: expected an integer, got '1'"),
        ({"attempt": 10**30}, "expected integers of at most 64 bits"),
        ({"simulator": "metaworld"}, "simulator: expected 'gymnasium', got 'metaworld'"),
        ({"status": "fine"}, "status: expected one of completed, crashed"),
        ({"reproducible": "yes"}, "reproducible: expected true or false, got 'yes'"),
        ({"live_films": [-1]}, "live_films[0]: expected 0 or more, got -1"),
        ({"reported": [[1]]}, "reported[0]: expected a list of 2, got a list"),
        ({"episodes": {"requested": "many"}}, "episodes.requested: expected an integer, got 'many'"),
        (
            {"episodes": {"requested": 10**9}},
            "episodes.requested: expected at most 10,000,000, got 1000000000",
        ),
        ({"definitions": {"m": {"reduction": "eval"}}}, "definitions.m.reduction: expected one of max, mean"),
        ({"identity": []}, "identity: expected an object, got an empty list"),
        ({"schema_version": "2.0"}, "schema_version: expected 1.x, which this version reads, got '2.0'"),
        ({"started_at": "never"}, "started_at: expected a time in ISO 8601, got 'never'"),
        ({"notes": "a note"}, "notes: expected a list, got 'a note'"),
        ({"thresholds": [{"metric": 3}]}, "thresholds[0].metric: expected text, got 3"),
    ],
)
def test_a_record_of_somebody_else(run: Path, keys: dict[str, Any], words: str) -> None:
    edited(run / "a" / "record.json", **keys)
    assert refusal(run).startswith(f"a/record.json: {words}")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"seed": 1}, "seed: expected "),
        ({"seed": None}, "seed: expected "),
        ({"rebuild": 1}, "rebuild: expected 0, got 1"),
        ({"episode": 99}, "episode: expected one of episodes 0 to 4, got 99"),
        ({"episode": -1}, "episode: expected one of episodes 0 to 4, got -1"),
        ({"episode": 1.0}, "episode: expected an integer, got 1.0"),
        ({"env_idx": 2}, "env_idx: expected 0 to 1, got 2"),
        ({"env_idx": -1}, "env_idx: expected 0 to 1, got -1"),
        ({"start_step": 1}, "end_step: expected "),
        ({"end_step": 10**6}, "end_step: expected "),
        ({"length": 0}, "length: expected 1 or more, got 0"),
        ({"outcome": "great"}, "outcome: expected one of error, failure"),
        ({"success_once": None}, ""),
        ({"time_to_success": 10**6}, "time_to_success: expected "),
        ({"return": True}, "return: expected a number, got true"),
        ({"return": "high"}, "return: expected a number, got 'high'"),
        ({"metrics": {"m": []}}, "metrics.m: expected a number or null, got an empty list"),
        ({"job": "b"}, "job: expected 'a', got 'b'"),
        ({"attempt": 7}, "attempt: expected 1, got 7"),
        ({"end_reason": "exception"}, "end_reason: expected another one, for the outcome is "),
        ({"error": "no"}, "error: expected null, for the outcome is "),
        ({"wall_time_seconds": -5}, "wall_time_seconds: expected 0 or more, got -5"),
        ({"started_at": "yesterday"}, "started_at: expected a time in ISO 8601, got 'yesterday'"),
        ({"schema_version": "9.9"}, "schema_version: expected 1.x, which this version reads, got '9.9'"),
        ({"videos": {"c": "a/record.json"}}, "videos.c: expected a film of episode 1, got 'a/record.json'"),
        (
            {"videos": {"c": "a/videos/episode-0001-env0-c.mp4"}},
            "videos.c: expected a film of episode 1, got",
        ),
        (
            {"trajectory": "a/record.json"},
            "trajectory: expected …/dataset.hdf5#data/demo_<number>, got 'a/rec",
        ),
        (
            {"trajectory": "a/dataset.hdf5"},
            "trajectory: expected …/dataset.hdf5#data/demo_<number>, got 'a/d",
        ),
        ({"trajectory": "a/dataset.hdf5#data"}, "trajectory: expected …/dataset.hdf5#data/demo_<number>"),
        ({"videos": {"c": "../x.mp4"}}, "videos.c: expected a file in a, got '../x.mp4'"),
        ({"trajectory": "/x.hdf5#data/demo_0"}, "trajectory: expected a file in a, got '/x.hdf5'"),
    ],
)
def test_episodes_that_the_schedule_does_not_run(run: Path, keys: dict[str, Any], words: str) -> None:
    edited_line(run / "a" / "episodes.jsonl", 1, **keys)
    assert refusal(run).startswith(f"a/episodes.jsonl: line 1: {words}")


def test_a_row_runs_its_episodes_one_after_the_other(run: Path) -> None:
    path = run / "a" / "episodes.jsonl"
    first = json.loads(path.read_text().splitlines()[0])
    edited_line(path, 1, start_step=1, end_step=first["end_step"] + 1)
    assert (
        f"line 1: start_step: expected 0, which follows the episode before in row {first['env_idx']}"
        in refusal(run)
    )


def test_a_longer_episode_than_the_record_has(run: Path) -> None:
    path = run / "a" / "episodes.jsonl"
    number, last = max(
        enumerate(map(json.loads, path.read_text().splitlines()), 1), key=lambda e: e[1]["end_step"]
    )
    edited_line(path, number, length=500, end_step=last["start_step"] + 499)
    assert refusal(run) == (
        f"a/episodes.jsonl: line {number}: end_step: expected {last['end_step']}, as the job's record says, got "
        f"{last['start_step'] + 499}"
    )


def test_a_trajectory_belongs_to_one_episode(run: Path) -> None:
    path = run / "a" / "episodes.jsonl"
    edited_line(path, 1, trajectory="a/dataset.hdf5#data/demo_3")
    edited_line(path, 2, trajectory="a/dataset-1.hdf5#data/demo_3")
    edited_line(path, 3, trajectory="a/mine.npz", videos={"mine": "a/plots/mine.gif"})
    check_run(run)
    edited_line(path, 2, trajectory="a/dataset.hdf5#data/demo_3")
    assert "line 2: trajectory: expected each once, it is in line 1 too, got 'a/dataset" in refusal(run)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("evals/t.py::t[a]", "evals/t.py::t[a]", True),
        ("evals/t.py::t[a]", "t.py::t[a]", True),
        ("../evals/t.py::t[a]", "../evals/t.py::t[a]", True),
        ("/home/one/jobs.yaml::rollout[a]", "/home/two/jobs.yaml::rollout[a]", True),
        ("/home/one/jobs.yaml::rollout[a]", "one/jobs.yaml::rollout[a]", True),
        ("/home/one/jobs.yaml::rollout[a]", "/home/one/other.yaml::rollout[a]", False),
        ("evals/t.py::t[a]", "other/t.py::t[a]", False),
        ("t.py::t[a]", "t.py::t[b]", False),
        ("t.py::t[a]", "../../t.py::t[a]", False),
        ("t.py::t[a]", "../../etc::t[a]", False),
    ],
)
def test_which_node_ids_are_of_one_test(one: str, other: str, same: bool) -> None:
    assert same_test(one, other) is same_test(other, one) is same


def test_a_limit_of_steps_cuts_episodes_off_at_each_rebuild(tmp_path: Path) -> None:
    """The steps of an episode that was cut off belong to its row, and there is no line of it."""
    job = scripted(rollout={"steps": 12, "rebuilds": 3})
    evaluate(job, output=tmp_path)
    run = next(path for path in tmp_path.iterdir() if not path.is_symlink())
    lines = [json.loads(line) for line in (run / "a" / "episodes.jsonl").read_text().splitlines()]
    first = [line["start_step"] for line in lines if line["rebuild"] and line["start_step"]]
    assert not {*first} <= {line["end_step"] + 1 for line in lines}
    check_run(run)
    edited_line(run / "a" / "episodes.jsonl", len(lines), start_step=1, end_step=lines[-1]["length"])
    assert "start_step: expected " in refusal(run)


def test_a_record_with_other_numbers_than_its_episodes(run: Path) -> None:
    """A job that is not selected is judged by its record, in a group."""
    path = run / "a" / "record.json"
    metrics = json.loads(path.read_text())["metrics"]
    edited(path, metrics={**metrics, "success_rate": 0.987, "of a simulator": 3.0})
    assert refusal(run).startswith("a/record.json: metrics.success_rate: expected ")
    assert refusal(run).endswith(", that of its episodes, got 0.987")
    edited(path, metrics={**metrics, "of a simulator": 3.0})
    check_run(run)


def test_a_record_of_another_test(run: Path) -> None:
    edited(run / "a" / "record.json", nodeid="below/t.py::t[a]")
    check_run(run)
    edited(run / "a" / "record.json", nodeid="t.py::t[b]")
    assert refusal(run) == "a/record.json: nodeid: expected 't.py::t[a]', as run.json says, got 't.py::t[b]'"


def test_a_manifest_of_another_major_version(run: Path) -> None:
    edited(run / "run.json", schema_version="1.9")
    check_run(run)
    edited(run / "run.json", schema_version="2.0")
    assert "run.json: schema_version: expected 1.x, which this version reads, got '2.0'" in refusal(run)


def test_success_and_outcome_must_agree(run: Path) -> None:
    path = run / "a" / "episodes.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    number = next(i for i, line in enumerate(lines, 1) if line["outcome"] == "failure")
    edited_line(path, number, outcome="success")
    assert f"line {number}: outcome: expected failure or unknown (success_once is false)" in refusal(run)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: [*lines, lines[1]], "line 6: episode: expected each once, it is in line 2 too"),
        (lambda lines: lines[:3], "expected 5 measured episodes, as the job's record says, got 3"),
        (lambda lines: [lines[0], "[]\n", *lines[1:]], "line 2: expected the keys of Episode, got list"),
        (lambda lines: [lines[0][:40] + "\n", *lines[1:]], "line 1: expected JSON"),
        (lambda lines: [*lines, "\xff\n"], "line 6: expected UTF-8 text, got the byte 0xff"),
        (
            lambda lines: [*lines, "[" * 100_000 + "]" * 100_000 + "\n"],
            "line 6: expected JSON that is nested",
        ),
        (lambda lines: [*lines, '{"a": 1, "a": 2}\n'], "line 6: expected each key once, got 'a' twice"),
        (lambda lines: [*lines, '{"a": 1e999}\n'], "line 6: expected finite numbers, got 1e999"),
    ],
)
def test_lines_that_are_none(run: Path, change: Callable[[list[str]], list[str]], words: str) -> None:
    path = run / "a" / "episodes.jsonl"
    lines = change(path.read_text().splitlines(keepends=True))
    path.write_text("".join(lines), encoding="latin-1")
    assert refusal(run).startswith(f"a/episodes.jsonl: {words}")


@pytest.mark.parametrize("tail", ['{"job": "a", "att', "\0" * 50, "\x80"])
def test_what_a_kill_leaves_is_no_fault(run: Path, tail: str) -> None:
    path = run / "a" / "episodes.jsonl"
    edited(run / "a" / "record.json", status="running")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]) + tail, encoding="latin-1")
    check_run(run)
    path.unlink()
    check_run(run)
    (run / "a" / ".record.json.12ab.tmp").write_text("{")
    (run / "a.2").mkdir()
    check_run(run)


def job_entry(**keys: Any) -> dict[str, Any]:
    return {"nodeid": "n", "config": scripted().config(), **keys}


SHARD = {"index": 0, "count": 2, "label": "a", "nodeid": "n"}
HALVES = scripted(rollout={"episodes": 4, "shards": 2}).config()


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (
            [],
            "expected a run directory, with a whole run.json in it: run.json: expected the keys of Manifest",
        ),
        ({}, "expected a run directory, with a whole run.json in it: run.json: jobs: required, but missing"),
        (
            {"jobs": {"a": []}},
            "expected a run directory, with a whole run.json in it: run.json: jobs.a: expected",
        ),
        ({"jobs": {"a": {"config": {}}}}, "run.json: jobs.a.config.name: required, but missing"),
        ({"jobs": {"../a": job_entry()}}, "run.json: jobs['../a']: expected the name of a job's folder"),
        (
            {"jobs": {"run.json": job_entry()}},
            "run.json: jobs['run.json']: expected the name of a job's folder",
        ),
        ({"jobs": {"b": job_entry()}}, "a/record.json: expected records of the jobs in run.json only"),
        (
            {"jobs": {"a": job_entry(shard=SHARD)}},
            "run.json: jobs.a.shard: expected one where rollout.shards",
        ),
        (
            {"jobs": {"a": job_entry(config=HALVES)}},
            "run.json: jobs.a.shard: expected one where rollout.shards",
        ),
        (
            {"jobs": {"a-shard0of2": job_entry(config=HALVES, shard={**SHARD, "label": "../../victim"})}},
            "run.json: jobs.a-shard0of2.shard.label: expected the name of a job's folder, got '../../victim'",
        ),
        (
            {"jobs": {"a-shard0of2": job_entry(config=HALVES, shard={**SHARD, "label": "b"})}},
            "run.json: jobs.a-shard0of2.shard.label: expected that of 'a-shard0of2', got one of 'b-shard0of2'",
        ),
        (
            {"jobs": {"a-shard0of2": job_entry(config=HALVES, shard={**SHARD, "index": 2})}},
            "run.json: jobs.a-shard0of2.shard: expected one of 2, got index 2 of 2",
        ),
        (
            {
                "jobs": {
                    "a-shard0of2": job_entry(config=HALVES, shard=SHARD),
                    "a-shard1of2": job_entry(config=HALVES, shard={**SHARD, "index": 1, "nodeid": "m"}),
                }
            },
            "run.json: jobs.a-shard1of2.shard.nodeid: expected that of the other shards, got another",
        ),
        (
            {
                "jobs": {"a": job_entry()},
                "groups": [{"tag": "t", "nodeid": "n", "thresholds": {}, "jobs": {"a": ["/x"]}}],
            },
            "run.json: groups[0].jobs.a: expected labels of the run's jobs, got '/x'",
        ),
        (
            {"jobs": {"a": job_entry()}, "resumed": 3},
            "expected a run directory, with a whole run.json in it: ",
        ),
    ],
)
def test_a_manifest_of_somebody_else(run: Path, manifest: Any, words: str) -> None:
    write_json(run / "run.json", manifest)
    assert refusal(run).startswith(words)


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as made:
        here = os.open(path.parent, os.O_RDONLY)  # its name may be long
        made.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)


def folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


@pytest.mark.parametrize(
    "name", ["run.json", "report.json", "a/record.json", "a/episodes.jsonl", "a/dataset.hdf5"]
)
@pytest.mark.parametrize(
    ("make", "kind"), [(pipe, "a pipe"), (bound_socket, "a socket"), (folder, "a folder")]
)
def test_what_is_no_file_is_not_opened(run: Path, name: str, make: Edit, kind: str) -> None:
    make(run / name)
    assert refusal(run) == f"{name}: expected a file, got {kind}"


@pytest.mark.parametrize(
    "name",
    [
        "run.json",
        ".lock",
        "report.json",
        "a/record.json",
        "a/episodes.jsonl",
        "a/videos",
        "a/trajectories",
        "a",
    ],
)
def test_links_that_lead_out(run: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    if (run / name).exists():
        shutil.move(run / name, outside)
    else:
        outside.mkdir()
        (outside / ".precious").write_text("keep")
    (run / name).symlink_to(outside)
    assert refusal(run) == f"{name}: expected a file of the run, it is a link to {outside.resolve()}"


def test_links_within_and_films_out_of_place(run: Path, tmp_path: Path) -> None:
    videos = run / "a" / "videos"
    videos.mkdir()
    (tmp_path / "secret").write_text("secret")
    film = videos / "episode-0000-env0-c.mp4"
    film.symlink_to(tmp_path / "secret")
    assert "a/videos/episode-0000-env0-c.mp4: expected a file of the run, it is a link to" in refusal(run)
    film.unlink()
    (videos / "real.mp4").write_bytes(b"film")
    film.symlink_to("real.mp4")
    check_run(run)
    os.link(tmp_path / "secret", videos / ".episode-0001-env0-c.mp4.part")
    assert "expected a file with a single name" in refusal(run)


@pytest.mark.parametrize("name", ["a", "a/videos"])
def test_folders_are_no_links(run: Path, name: str) -> None:
    (run / name).mkdir(exist_ok=True)
    (run / name).rename(run / ".hidden")
    (run / name).symlink_to(run / ".hidden")
    assert refusal(run) == f"{name}: expected a folder, it is a link to .hidden"


def test_folders_of_attempts(run: Path) -> None:
    shutil.copytree(run / "a", run / "a.3")
    assert refusal(run) == "a.3: expected the attempt before it beside it, there is no a.2"
    shutil.move(run / "a.3", run / "a.2")
    assert refusal(run) == "a.2/record.json: attempt: expected 2, got 1"
    (run / "a.2" / "record.json").unlink()
    assert refusal(run).startswith("a.2/record.json: expected the record of the episodes beside it")
    shutil.rmtree(run / "a.2")
    (run / "notes").mkdir()
    (run / "notes" / "of mine.txt").write_text("people put things there")
    check_run(run)


def test_no_run_directory(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith("expected a run directory, with a whole run.json in it")


def test_trajectories_that_lead_elsewhere(run: Path) -> None:
    path = run / "a" / "dataset.hdf5"
    path.write_text("what a kill has broken")
    check_run(run)
    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_0")
        demo.create_dataset("actions", (4,), "u1", external=[("/etc/passwd", 0, 4)])
    assert refusal(run) == (
        "a/dataset.hdf5: expected data in the file itself, /data/demo_0/actions has it in /etc/passwd"
    )
