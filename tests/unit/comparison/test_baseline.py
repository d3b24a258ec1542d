"""What a run can be compared with, and what is told of files that are none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_arena import Baseline, BaselineError, JobRecord, Metric, RunDirectory, Status, load_baseline
from pytest_arena.comparison.baseline import BaselineJob, stops_early
from pytest_arena.comparison.decision_rule import metric_named
from pytest_arena.comparison.samples import Sample
from pytest_arena.errors import NotComparableError
from pytest_arena.records.episodes import write_episodes
from pytest_arena.records.files import write_json
from pytest_arena.records.schema import GateRecord
from tests.jobs import make_job
from tests.unit.gate.samples import scheduled


def metric(name: str = "success_rate") -> Metric:
    found = metric_named(name, [])
    assert found is not None
    return found


def make_run(path: Path, status: Status = Status.COMPLETED, gate: GateRecord | None = None) -> Path:
    """A run of the job ``reach`` with three episodes: success, failure, success."""
    run = RunDirectory(path)
    path.mkdir()
    directory = run.claim("reach")
    job = make_job("reach")
    episodes = scheduled(job, [True, False, True])
    for one in episodes:
        one.return_ = float(one.episode)
    write_episodes(directory.episodes, episodes)
    record = JobRecord("reach", 1, "", "gymnasium", "CartPole-v1", "zero", status, gate=gate)
    record.record_path, record.episodes_path = "reach/record.json", "reach/episodes.jsonl"
    write_json(directory.record, record.to_json())
    write_json(run.manifest_path, {"jobs": {"reach": {"config": job.config()}}})
    write_json(path / "metrics.json", {"reach": {"success_rate": 2 / 3, "episodes_measured": 3}})
    return path


def found(baseline: Baseline, label: str) -> BaselineJob:
    job = baseline.find(label)
    assert job is not None
    return job


@pytest.mark.parametrize("name", ["", "metrics.json"])
def test_a_run_directory_has_all_episodes_also_by_its_metrics(tmp_path: Path, name: str) -> None:
    job = found(load_baseline(make_run(tmp_path / "run") / name), "reach")
    assert [p.value for p in job.sample(metric()).points] == [1.0, 0.0, 1.0]
    assert [p.value for p in job.sample(metric("return")).points] == [0.0, 1.0, 2.0]
    assert job.sample(metric()).points[1].initial_state == "state 1"
    assert load_baseline(tmp_path / "run").find("push") is None


def test_a_job_that_did_not_complete_is_not_comparable(tmp_path: Path) -> None:
    job = found(load_baseline(make_run(tmp_path / "run", Status.CRASHED)), "reach")
    with pytest.raises(NotComparableError, match=r"did not complete \(crashed\)"):
        job.sample(metric())


def test_episodes_after_a_gates_decision_do_not_count(tmp_path: Path) -> None:
    gate = GateRecord("spending", 100, 10, True, "fail", [], counted=2)
    job = found(load_baseline(make_run(tmp_path / "run", gate=gate)), "reach")
    assert [p.episode for p in job.sample(metric()).points] == [0, 1]


def test_lost_and_broken_episodes_are_named(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run") / "reach" / "episodes.jsonl"
    job = found(load_baseline(tmp_path / "run"), "reach")
    path.write_text("no json\n" + path.read_text())
    with pytest.raises(NotComparableError, match="cannot be read"):
        job.sample(metric())
    path.unlink()
    with pytest.raises(NotComparableError, match=r"episodes.jsonl is missing"):
        found(load_baseline(tmp_path / "run"), "reach").sample(metric())


@pytest.mark.parametrize("listed", [True, False], ids=["with-a-manifest", "without"])
@pytest.mark.parametrize("content", ["{", "", "[]", '{"job": "reach"}', None])
def test_a_record_that_cannot_be_read_is_no_job_less(
    tmp_path: Path, content: str | None, listed: bool
) -> None:
    run = make_run(tmp_path / "run")
    attempt = RunDirectory(run).claim("reach")  # the record of the first one is whole, and out of date
    if not listed:
        (run / "run.json").unlink()
    if content is not None:
        attempt.record.write_text(content)
    job = found(load_baseline(run), "reach")
    with pytest.raises(BaselineError, match=r"reach.2/record.json: the job's record") as raised:
        job.checked(metric())
    assert ("is missing" if content is None else "cannot be read") in str(raised.value)
    with pytest.raises(NotComparableError, match=r"the baseline: .*record.json: the job's record"):
        job.sample(metric())


def test_a_job_named_like_an_attempt_is_another_job(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    configs = {label: {"config": make_job(label).config()} for label in ("reach", "reach.2")}
    write_json(run / "run.json", {"jobs": configs})
    RunDirectory(run).claim("reach.2").record.write_text("{")
    baseline = load_baseline(run)
    assert len(found(baseline, "reach").sample(metric())) == 3
    with pytest.raises(NotComparableError, match=r"reach.2/record.json: the job's record cannot be read"):
        found(baseline, "reach.2").sample(metric())


def test_a_job_that_never_ran_is_no_job_less(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    configs = {label: {"config": make_job(label).config()} for label in ("reach", "push")}
    write_json(run / "run.json", {"jobs": configs})
    with pytest.raises(NotComparableError, match="the baseline: the job did not run, or its folder is lost"):
        found(load_baseline(run), "push").sample(metric())


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (slice(0), "expected 3 measured episodes, as the job's record says, got 0"),
        (slice(2), "expected 3 measured episodes, as the job's record says, got 2"),
        ([0, 2], "start_step: expected 10, which follows the episode before in row 0, got 20"),
    ],
)
def test_episodes_that_are_lost_are_missed(tmp_path: Path, lines: Any, words: str) -> None:
    run = make_run(tmp_path / "run")
    record = json.loads((run / "reach" / "record.json").read_text())
    write_json(run / "reach" / "record.json", {**record, "episodes": {"requested": 3, "measured": 3}})
    assert len(found(load_baseline(run), "reach").sample(metric())) == 3
    path = run / "reach" / "episodes.jsonl"
    all_lines = path.read_text().splitlines(keepends=True)
    kept = all_lines[lines] if isinstance(lines, slice) else [all_lines[i] for i in lines]
    path.write_text("".join(kept))
    with pytest.raises(NotComparableError, match=words):
        found(load_baseline(run), "reach").sample(metric())


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("success_at_end", "yes", "line 1: success_at_end: expected true or false or null, got 'yes'"),
        ("success_once", 1, "success_once: expected true or false or null, got 1"),
        ("outcome", "yes", "outcome: expected one of error, failure, success, unknown, got 'yes'"),
        ("length", "10", "length: expected an integer, got '10'"),
        ("length", True, "length: expected an integer, got true"),
        ("length", -1, "length: expected 1 or more, got -1"),
        ("return", "high", "return: expected a number, got 'high'"),
        ("time_to_success", "soon", "time_to_success: expected an integer or null, got 'soon'"),
        ("metrics", {"speed": "high"}, "metrics.speed: expected a number or null, got 'high'"),
    ],
)
def test_episodes_of_wrong_types_do_not_count(tmp_path: Path, key: str, value: Any, words: str) -> None:
    path = make_run(tmp_path / "run") / "reach" / "episodes.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), key: value}), *others, ""]))
    for name in ("success_rate", "success_at_end_rate"):
        with pytest.raises(NotComparableError, match=words):
            found(load_baseline(tmp_path / "run"), "reach").sample(metric(name))


Lines = list[dict[str, Any]]


def copies(lines: Lines) -> Lines:
    """The second episode, which failed, once more under each index that the job has left."""
    steps = [{"start_step": 10 * i, "end_step": 10 * i + 9} for i in range(3, 10)]
    return [*lines, *({**lines[1], "episode": i, **step} for i, step in enumerate(steps, 3))]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: [*lines, lines[0]], "line 4: episode: expected each once, it is in line 1 too, got 0"),
        (lambda lines: [*lines, {**lines[0], "episode": 100}], "one of episodes 0 to 9, got 100"),
        (lambda lines: [{**lines[0], "episode": -1}, *lines[1:]], "one of episodes 0 to 9, got -1"),
        (lambda lines: [{**line, "job": "zz"} for line in lines], "line 1: job: expected 'reach', got 'zz'"),
        (lambda lines: [{**line, "attempt": 2} for line in lines], "line 1: attempt: expected 1, got 2"),
        (
            lambda lines: [{**lines[0], "outcome": "failure"}, *lines[1:]],
            "line 1: outcome: expected success (success_once is true), got failure",
        ),
        (copies, "line 4: seed: expected "),
        (lambda lines: [{**lines[0], "env_idx": 1}, *lines[1:]], "line 1: env_idx: expected 0 to 0, got 1"),
    ],
)
def test_episodes_that_the_job_did_not_run_are_no_baseline(
    tmp_path: Path, change: Callable[[Lines], Lines], words: str
) -> None:
    run = make_run(tmp_path / "run")
    job = make_job("reach", rollout={"episodes": 10})
    write_json(run / "run.json", {"jobs": {"reach": {"config": job.config()}}})
    path = run / "reach" / "episodes.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert found(load_baseline(run), "reach").checked(metric()) is not None
    path.write_text("".join(json.dumps(line) + "\n" for line in change(lines)))
    with pytest.raises(BaselineError) as raised:
        found(load_baseline(run), "reach").checked(metric())
    assert str(raised.value).startswith(f"{path}: ")
    assert words in str(raised.value)


def test_a_record_with_other_numbers_than_its_episodes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    path = run / "reach" / "record.json"
    record = json.loads(path.read_text())
    write_json(path, {**record, "metrics": {"success_rate": 2 / 3, "return": 1.0}})
    for name in ("success_rate", "return"):
        assert found(load_baseline(run), "reach").checked(metric(name)) is not None
    write_json(path, {**record, "metrics": {"success_rate": 1.0, "return": 7.0}})
    for name, words in (("success_rate", "expected 0.666667"), ("return", "expected 1")):
        with pytest.raises(
            BaselineError, match=rf"record.json: metrics.{name}: {words}, that of its episodes"
        ):
            found(load_baseline(run), "reach").checked(metric(name))


def test_runs_of_earlier_versions_are_still_compared(tmp_path: Path) -> None:
    """Their seeds had 32 bits, keys may be missing, and clocks replaced; a job with a key that is gone, or without run.json, has no schedule here."""
    run = make_run(tmp_path / "run")
    path = run / "reach" / "episodes.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**line, "seed": line["seed"] + 2**31}) + "\n" for line in lines))
    text = path.read_text().replace('"time_to_success"', '"a_key_that_is_gone"')
    path.write_text(text.replace('"wall_time_seconds": 0.0', '"wall_time_seconds": -9.0'))
    assert len(found(load_baseline(run), "reach").sample(metric())) == 3
    path.write_text("".join(json.dumps({**line, "seed": 1}) + "\n" for line in lines))
    with pytest.raises(BaselineError, match="seed: expected"):
        found(load_baseline(run), "reach").checked(metric())
    manifest = json.loads((run / "run.json").read_text())
    manifest["jobs"]["reach"]["config"]["environment"]["gone"] = 1
    write_json(run / "run.json", manifest)
    assert len(found(load_baseline(run), "reach").sample(metric())) == 3
    (run / "run.json").unlink()
    assert len(found(load_baseline(run), "reach").sample(metric())) == 3
    path.write_text(path.read_text() + json.dumps({**lines[0], "seed": 1}) + "\n")
    with pytest.raises(BaselineError, match="line 4: episode: expected each once"):
        found(load_baseline(run), "reach").checked(metric())


def test_the_last_of_attempts_that_are_not_there(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    shutil.copytree(run / "reach", run / "reach.9")
    record = json.loads((run / "reach.9" / "record.json").read_text())
    write_json(run / "reach.9" / "record.json", {**record, "attempt": 9})
    with pytest.raises(
        BaselineError, match=r"expected the attempt before it beside it, there is no reach\.8"
    ):
        found(load_baseline(run), "reach").checked(metric())


@pytest.mark.parametrize(
    "values", ['{"success_rate": null, "episodes_measured": 20}', '{"episodes_measured": 0}']
)
def test_what_a_run_could_not_measure_is_no_broken_file(tmp_path: Path, values: str) -> None:
    file = tmp_path / "metrics.json"
    file.write_text(f'{{"reach": {values}}}')
    job = found(load_baseline(file), "reach")
    job.checked(metric())
    with pytest.raises(NotComparableError):
        job.sample(metric())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ('{"success_rate": "high", "episodes_measured": 20}', 'a share of 20 episodes, got "high"'),
        ('{"success_rate": 1.7, "episodes_measured": 20}', "a share of 20 episodes, got 1.7"),
        ('{"success_rate": NaN, "episodes_measured": 20}', "a share of 20 episodes, got NaN"),
        ('{"success_rate": true, "episodes_measured": 20}', "a share of 20 episodes, got true"),
        ('{"success_rate": 0.85, "episodes_measured": 7}', "a share of 7 episodes, got 0.85"),
        ('{"success_rate": 0.85, "episodes_measured": "20"}', 'at most 10,000,000, got "20"'),
        ('{"success_rate": 0.85, "episodes_measured": -1}', "expected a positive integer of at most 10,000"),
        ('{"success_rate": 0.5, "episodes_measured": 10000000000}', "at most 10,000,000, got 10000000000"),
        ('{"success_rate": 0.5, "episodes_measured": 20.0}', "at most 10,000,000, got 20.0"),
    ],
)
def test_metrics_that_are_no_rates_of_their_episodes(tmp_path: Path, values: str, words: str) -> None:
    file = tmp_path / "metrics.json"
    file.write_text(f'{{"reach": {values}}}')
    with pytest.raises(BaselineError, match="job 'reach'") as raised:
        found(load_baseline(file), "reach").checked(metric())
    assert words in str(raised.value)
    assert "a metrics.json allows only rates" not in str(raised.value)


def test_a_file_that_begins_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    file.write_text('{"reach": {"success_rate": 0.5, "episodes_measured": 4}}', encoding="utf-8-sig")
    assert found(load_baseline(file), "reach").sample(metric()) == Sample(counts=(2, 4))


def test_metrics_alone_allow_only_rates_with_a_number_of_episodes(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    values = {"success_rate": 0.85, "return": 12.5, "episodes_measured": 20}
    file.write_text(json.dumps({"reach": values, "old": {"success_rate": 0.85}}))
    baseline = load_baseline(file)
    assert found(baseline, "reach").sample(metric()) == Sample(counts=(17, 20))
    for name in ("return", "success_at_end_rate"):  # one is no rate, the other one is not in it
        with pytest.raises(NotComparableError, match=f"{name}: a metrics.json allows only rates"):
            found(baseline, "reach").sample(metric(name))
    with pytest.raises(NotComparableError, match="no fixed number of episodes"):
        found(baseline, "old").sample(metric())


PER_TASK = {
    "per_task": [
        {
            "task_group": "libero",
            "task_id": i,
            "metrics": {"successes": [True, i == 0], "sum_rewards": [1.0, 2]},
        }
        for i in range(2)
    ]
    + [{"task_group": "pusht", "task_id": 0, "n_success": 40, "n_episodes": 50, "pc_success": 80.0}],
    "per_group": {},
    "overall": {},
}


def test_numbers_of_a_job_that_did_not_complete_are_not_compared(tmp_path: Path) -> None:
    numbers = {"success_rate": 1.0, "episodes_measured": 3}
    stored = {
        "crashed": {**numbers, "status": "crashed", "verdict": "error"},
        "whole": {**numbers, "status": "completed", "verdict": "pass"},
        "older": numbers,
    }
    (tmp_path / "metrics.json").write_text(json.dumps(stored))
    jobs = load_baseline(tmp_path / "metrics.json").jobs
    with pytest.raises(NotComparableError, match=r"the job did not complete \(crashed\)"):
        jobs["crashed"].sample(metric())
    for label in ("whole", "older"):
        assert jobs[label].sample(metric()) == Sample(counts=(3, 3))
        assert not jobs[label].faults


def test_lerobot_with_several_tasks(tmp_path: Path) -> None:
    file = tmp_path / "eval_info.json"
    file.write_text(json.dumps(PER_TASK))
    baseline = load_baseline(file)
    assert set(baseline.jobs) == {"libero_0", "libero_1", "pusht_0"}
    one = found(baseline, "libero_1")
    assert [p.value for p in one.sample(metric()).points] == [1.0, 0.0]
    assert one.sample(metric()).counts == (1, 2)
    assert [p.value for p in one.sample(metric("return")).points] == [1.0, 2.0]
    assert one.sample(metric()).points[0].initial_state is None
    assert baseline.find("libero") is None
    assert found(baseline, "pusht").sample(metric()) == Sample(counts=(40, 50))
    with pytest.raises(NotComparableError, match="LeRobot's file has no values of it"):
        one.sample(metric("episode_length"))


@pytest.mark.parametrize("totals", ["aggregated", "overall"])
@pytest.mark.parametrize("newer", [True, False], ids=["with-counts", "percent-only"])
def test_lerobot_with_one_environment(tmp_path: Path, totals: str, newer: bool) -> None:
    rows = [{"episode_ix": i, "sum_reward": float(i), "success": i > 0, "seed": 1000 + i} for i in (2, 0, 1)]
    numbers = {"pc_success": 66.7, "n_episodes": 3} | ({"n_success": 2} if newer else {})
    file = tmp_path / "eval_info.json"
    file.write_text(json.dumps({"per_episode": rows, totals: numbers}))
    job = found(load_baseline(file), "whatever it is called")
    assert [p.value for p in job.sample(metric()).points] == [0.0, 1.0, 1.0]
    file.write_text(json.dumps({"per_episode": [], totals: numbers}))
    assert found(load_baseline(file), "any").sample(metric()) == Sample(counts=(2, 3))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "it cannot be read"),
        ("[1]", "got JSON of another shape"),
        ('{"a": 1}', "got JSON of another shape"),
        ('{"per_task": 3}', "expected an eval_info.json as LeRobot writes it"),
        ('{"per_task": [{"task_id": 1}]}', "expected an eval_info.json as LeRobot writes it"),
        ('{"per_episode": [{}]}', "expected an eval_info.json as LeRobot writes it"),
        ('{"per_episode": [], "overall": {"pc_success": 200, "n_episodes": 2}}', "4 successes in 2 episodes"),
        (
            '{"per_episode": [], "overall": {"pc_success": 50, "n_episodes": 10000000000}}',
            "at most 10,000,000",
        ),
        ('{"per_episode": [], "overall": {"pc_success": 50, "n_episodes": Infinity}}', "OverflowError"),
        ('{"per_episode": [], "overall": {"pc_success": Infinity, "n_episodes": 2}}', "OverflowError"),
    ],
)
def test_files_of_another_shape(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "file.json"
    file.write_text(content)
    with pytest.raises(BaselineError, match=words) as raised:
        load_baseline(file)
    assert str(raised.value).startswith(f"{file}: expected")
    assert "\n" not in str(raised.value)


def test_paths_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="there is nothing"):
        load_baseline(tmp_path / "nowhere")
    with pytest.raises(BaselineError, match=r"a directory without run.json"):
        load_baseline(tmp_path)


@pytest.mark.parametrize(
    ("changes", "notes"),
    [
        ({}, []),
        ({"policy": {"type": "random"}, "rollout": {"episodes": 9}}, []),
        ({"environment": {"id": "CartPole-v1", "num_envs": 4, "seed": 5}}, []),
        ({"success": {"when": "at_end"}}, ["differs from the baseline in success"]),
        (
            {"environment": {"id": "CartPole-v1", "max_episode_steps": 9}, "language_instruction": "go"},
            ["differs from the baseline in environment.max_episode_steps, language_instruction"],
        ),
    ],
)
def test_another_task_is_told(changes: dict[str, Any], notes: list[str]) -> None:
    before = BaselineJob(config=make_job().config())
    assert before.differences(make_job(**changes).config()) == notes


def test_another_definition_of_a_metric_is_told() -> None:
    """A metric that only one of the jobs has is not compared; keys of later versions are no difference."""
    before = make_job(metrics={"best": {"info": "covered", "reduce": "max"}, "old": {"info": "x"}}).config()
    now = make_job(metrics={"best": {"info": "covered"}, "new": {"info": "x"}}).config()
    assert BaselineJob(config=before).differences(now) == ["differs from the baseline in metrics.best"]
    older = {key: value for key, value in before.items() if key != "metrics"}
    older["success"] = {"term": None, "info_key": None, "callable": None, "when": "once"}
    assert BaselineJob(config=older).differences(now) == []


def test_another_environment_is_not_comparable() -> None:
    before = BaselineJob(config=make_job().config())
    words = r"environment.id was 'CartPole-v1' in the baseline, is 'Acrobot-v1'"
    with pytest.raises(NotComparableError, match=words):
        before.differences(make_job(environment={"id": "Acrobot-v1"}).config())


@pytest.mark.parametrize(
    ("gate", "stops"),
    [
        (None, False),
        ({"stop_early": False, "method": "spending"}, False),
        ({"stop_early": True, "method": "spending"}, True),
        ({"stop_early": False, "method": "e_process"}, True),
    ],
)
def test_whose_number_of_episodes_is_fixed(gate: Any, stops: bool) -> None:
    assert stops_early({"gate": gate}) is stops
    assert stops_early({}) is False


def test_a_run_that_was_limited_by_steps_is_not_comparable(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    config = make_job("reach", rollout={"steps": 100}).config()
    write_json(run / "run.json", {"jobs": {"reach": {"config": config}}})
    with pytest.raises(NotComparableError, match="limited by steps, which favours short episodes"):
        found(load_baseline(run), "reach").sample(metric())


@pytest.mark.parametrize("key", ["rollout", "regression", "gate", "environment", "metrics"])
def test_a_configuration_of_other_types(tmp_path: Path, key: str) -> None:
    run = make_run(tmp_path / "run")
    manifest = json.loads((run / "run.json").read_text())
    manifest["jobs"]["reach"]["config"][key] = "text"
    write_json(run / "run.json", manifest)
    with pytest.raises(BaselineError, match=rf"jobs\.reach\.config\.{key}: expected an object, got 'text'"):
        load_baseline(run)


def test_json_that_is_nested_too_deeply(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("[" * 100_000)
    with pytest.raises(BaselineError, match="nested at most"):
        load_baseline(tmp_path / "metrics.json")
