"""The command that runs one episode again, from ``run.json`` and the job's record."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from pytest_arena import JobRecord
from pytest_arena.records.episode_command import command_parts, episode_command, why_not_alone
from tests.jobs import make_job

MAIN = "/opt/venv/lib/python3.12/site-packages/pytest/__main__.py"
NODE = "evals/test_it.py::test_it[reach]"


def record(**changes: Any) -> JobRecord:
    known = {
        "job": "reach",
        "attempt": 1,
        "config_sha256": "",
        "simulator": "s",
        "environment": "e",
        "policy": "p",
    }
    return JobRecord.from_json({**known, "reproducible": True, **changes})


def manifest(
    *arguments: str, program: str = MAIN, paths: tuple[str, ...] = ("evals",), **changes: Any
) -> Any:
    """Return a run.json with a job; *changes* are those of the job, or of the file itself."""
    about = {key: changes.pop(key) for key in ("rootdir", "working_directory", "options") if key in changes}
    nodeid = changes.pop("nodeid", NODE)
    return {
        "command": [program, *paths, *arguments],
        "arguments": [*arguments],
        "working_directory": "/home/me/robots",
        "rootdir": "/home/me/robots",
        "jobs": {"reach": {"nodeid": nodeid, "config": make_job("reach", **changes).config()}},
        **about,
    }


def words(run: Any, of: JobRecord | None = None, episode: int = 3) -> list[str]:
    """Return the words of the command behind ``cd DIR &&`` and the program."""
    command = episode_command(run, record() if of is None else of, episode)
    assert command is not None
    cd, where, and_, *rest = shlex.split(command)
    assert (cd, where, and_) == ("cd", run["working_directory"], "&&")
    assert rest[:3] == ["python", "-m", "pytest"]
    return rest[3:]


ONLY = ["--arena-set", "reach:rollout.only=[3]"]


def test_of_a_part_only_the_episode_is_chosen() -> None:
    for typed in (["--arena-set", "reach:rollout.only=[0, 3]"], ["--arena-set=rollout.only=[3, 4]"]):
        run = manifest("--arena-set", "rollout.timeout=9", *typed, "-p", "no:randomly")
        assert words(run) == [NODE, "--arena-set", "rollout.timeout=9", "-p", "no:randomly", *ONLY]


def test_the_whole_of_it() -> None:
    command = "cd /home/me/robots && python -m pytest 'evals/test_it.py::test_it[reach]' -p no:randomly"
    assert episode_command(manifest("-p", "no:randomly"), record(), 12) == (
        f"{command} --arena-set 'reach:rollout.only=[12]'"
    )
    assert command_parts(manifest(), record()) is not None
    run = manifest(program="/usr/local/bin/pytest")
    assert (episode_command(run, record(), 0) or "").split(" && ")[1].startswith("pytest ")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("-n 4 --dist=load -nauto", ""),
        ("-k 'reach and not far' --lf --deselect x::y -x --maxfail=2 -vv -sq", ""),
        ("-m 'smoke and not slow'", None),
        ("-c ini/pytest.ini -p mine.plugin -o addopts= -W error", None),
        ("--arena-set policy.level=0.5 --arena-output 'my results'", None),
        ("--checkpoint run42.pt --fast --level=3", None),
        ("--arena-resume r --arena-baseline b --arena-family-error 0.05 --arena-video off", ""),
        ("--junitxml=j.xml --json-report --json-report-file r.json --cov=pkg --cov-report term", ""),
        ("--arena-gpus 0,1 --reruns 3 --rootdir=.. --randomly-seed=7", "--rootdir=.. --randomly-seed=7"),
    ],
)
def test_options_that_an_episode_needs_are_kept(given: str, kept: str | None) -> None:
    expected = shlex.split(given if kept is None else kept)
    assert words(manifest(*shlex.split(given))) == [NODE, *expected, *ONLY]


def test_of_a_run_of_an_earlier_version() -> None:
    """Its paths are not told apart from values: those of options that are known are kept."""
    run = manifest(
        "-p", "no:randomly", "-n", "4", "--mine", "evals/more", "--level=3", "-c", "x.ini", "evals"
    )
    del run["arguments"], run["rootdir"]
    assert words(run) == [NODE, "-p", "no:randomly", "--mine", "--level=3", "-c", "x.ini", *ONLY]
    run["command"][0] = "/home/me/robots/script.py"
    assert why_not_alone(run, record()) == "run.json does not say how pytest was called"


def test_begun_elsewhere_than_in_the_root_directory() -> None:
    run = manifest(working_directory="/home/me/robots/evals/deep")
    assert words(run)[0] == "/home/me/robots/evals/test_it.py::test_it[reach]"
    run = manifest(rootdir="/home/me")
    assert words(run)[0] == "/home/me/evals/test_it.py::test_it[reach]"
    run = manifest(working_directory="/home/me/robots/evals", nodeid="evals/a::b.yaml::rollout[x::y]")
    assert words(run)[0].startswith("a::b.yaml")


@pytest.mark.parametrize(
    ("typed", "files", "extra"),
    [
        (["--arena-jobs", "reach jobs.yaml"], ["reach jobs.yaml"], ""),
        (["--arena-jobs=reach jobs.yaml", "--arena-jobs", "b.yaml"], ["reach jobs.yaml", "b.yaml"], ""),
        ([], ["reach jobs.yaml"], "-o arena_jobs="),
        (["--arena-jobs", "reach jobs.yaml"], ["reach jobs.yaml", "always.yaml"], "-o arena_jobs="),
    ],
)
def test_a_job_file(typed: list[str], files: list[str], extra: str) -> None:
    options = {"job_files": [f"/home/me/robots/{file}" for file in files], "launcher": None}
    nodeid = "reach jobs.yaml::rollout[reach]"
    found = words(manifest(*typed, paths=(), options=options, nodeid=nodeid))
    assert found == [nodeid, "--arena-jobs", "reach jobs.yaml", *extra.split(), *ONLY]


def test_a_job_file_of_the_ini_file_is_not_run_as_well() -> None:
    options = {"job_files": ["/home/me/robots/always.yaml"], "launcher": None}
    assert words(manifest(options=options)) == [NODE, "-o", "arena_jobs=", *ONLY]


def test_a_launcher_starts_one_worker() -> None:
    run = manifest("-n", "8", "--arena-launcher", "srun -u", options={"launcher": "srun -u"})
    assert words(run) == [NODE, "--arena-launcher", "srun -u", "-n", "1", *ONLY]


def test_films_of_every_camera() -> None:
    environment = {"id": "e", "cameras": {"front": {}}}
    keys = {"video": "off", "cameras": ["front"], "video_every": 10, "video_environments": [1]}
    sets = [f"reach:record.{key}=null" for key in ("cameras", "video_every", "video_environments")]
    run = manifest(environment={**environment, "num_envs": 2}, record=keys)
    every = [word for text in sets for word in ("--arena-set", text)]
    assert words(run) == [NODE, *every, "--arena-video", "on", *ONLY]
    assert words(manifest(environment=environment)) == [NODE, "--arena-video", "on", *ONLY]
    without = record(notes=["no videos: the renderer cannot start"])
    assert words(manifest(environment=environment), without) == [NODE, *ONLY]
    for cameras in ([], ["wrist"]):
        of = record(identity={"cameras": cameras})
        assert words(manifest(), of) == [NODE, *(["--arena-video", "on"] if cameras else []), *ONLY]
    assert words(manifest(), record(videos=["reach/videos/a.mp4"])) == [NODE, "--arena-video", "on", *ONLY]


@pytest.mark.parametrize("label", ["reach", "reach-shard1of2"])
def test_a_sharded_job(label: str) -> None:
    run = manifest(rollout={"episodes": 4, "shards": 2})
    entry = run["jobs"].pop("reach")
    whole = {"index": 1, "count": 2, "label": "reach", "nodeid": NODE}
    run["jobs"]["reach-shard1of2"] = {**entry, "nodeid": "x::y[reach-shard1of2]", "shard": whole}
    assert words(run, record(job=label)) == [NODE, "--arena-set", "reach:rollout.shards=1", *ONLY]


def test_a_budget_that_has_grown() -> None:
    gate = {"episodes_max": 20, "method": "e_process"}
    run = manifest(gate=gate, thresholds={"success_rate": ">= 0.5"})
    grown = record(episodes={"requested": 40})
    assert words(run, grown, 33) == [
        *(NODE, "--arena-set", "reach:gate.episodes_max=40"),
        *("--arena-set", "reach:rollout.only=[33]"),
    ]
    assert words(run, record(episodes={"requested": 20})) == [NODE, *ONLY]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"notes": ["other", "reproducible: false, because it is so"]}, "it is so"),
        ({"identity": {"capabilities": {"episode_seeds": False}}}, "share one stream"),
        ({"identity": {"capabilities": {"episode_seeds": True, "deterministic": False}}}, "to chance"),
        ({"identity": {"capabilities": {"episode_seeds": True, "deterministic": True}}}, "the policy"),
        ({"identity": {"capabilities": 3}}, "not known"),
    ],
)
def test_what_is_not_reproducible_has_none(changes: dict[str, Any], reason: str) -> None:
    found = record(reproducible=False, **changes)
    assert episode_command(manifest(), found, 3) is command_parts(manifest(), found) is None
    assert reason in (why_not_alone(manifest(), found) or "")


def test_what_has_none_besides() -> None:
    reasons = {
        "the job was not run by pytest": manifest(nodeid=""),
        "the job is limited by steps": manifest(rollout={"steps": 4}),
        "the command has characters that cannot be typed": manifest("--name", "a\x1b[2Jb"),
        "run.json does not say how the job was run": {**manifest(), "jobs": {"other": {}}},
    }
    for reason, run in reasons.items():
        assert (why_not_alone(run, record()) or "").startswith(reason)
        assert episode_command(run, record(), 0) is None
    for run in ({}, {**manifest(), "command": "pytest"}, {**manifest(), "jobs": {"reach": {"config": 3}}}):
        assert why_not_alone(run, record()) == "run.json does not say how the job was run"
    hostile = manifest()
    hostile["jobs"]["reach"]["config"]["name"] = "a'; rm -rf ~; '"
    assert episode_command(hostile, record(), 0) is None


def test_nothing_of_somebody_elses_run_is_run_by_the_shell() -> None:
    run = manifest(
        "--mine", "$(touch x); `y`", nodeid="a b.py::t['; z; ']", working_directory="/tmp/$HOME 'x'"
    )
    found = words({**run, "rootdir": "/tmp/$HOME 'x'"})
    assert found == ["a b.py::t['; z; ']", "--mine", "$(touch x); `y`", *ONLY]
