from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs_examples import SHARED_RUNS, VARIATIONS_JSON, VARIATIONS_YAML


def test_shared_is_merged_under_every_run(load: Any) -> None:
    baseline, billiard = load(SHARED_RUNS)
    assert (baseline.name, billiard.name) == ("baseline", "billiard_hall")
    assert baseline.environment.id == billiard.environment.id == "pick_and_place_maple_table"
    assert baseline.environment.seed == 42
    assert baseline.environment.options["args"]["hdr"] == "home_office_robolab"
    assert billiard.environment.options["args"]["hdr"] == "billiard_hall_robolab"
    assert billiard.environment.options["args"]["embodiment"] == "droid_rel_joint_pos"
    assert billiard.rollout.steps == 50


def test_both_formats_give_the_same_job(load: Any) -> None:
    (typed,) = load(VARIATIONS_YAML)
    (legacy,) = load(VARIATIONS_JSON, "jobs.json")
    assert typed.config() == legacy.config()
    assert typed.sha256() == legacy.sha256()


def test_both_formats_give_the_same_job_with_builder_and_policy_settings(load: Any) -> None:
    (typed,) = load(
        "runs: {a: {environment: {type: g.yaml, object: o}, policy: {type: m.C, k: 1}, num_rebuilds: 2,"
        " rollout_limit: {num_episodes: 4}, environment_builder: {num_envs: 2, seed: 1, device: cpu,"
        " env_spacing: 3.0, language_instruction: pick}}}"
    )
    (legacy,) = load(
        '{"jobs":[{"name":"a","policy_type":"m.C","policy_config_dict":{"k":1},"num_rebuilds":2,'
        '"num_episodes":4,"language_instruction":"pick","arena_env_args":{"environment":"g.yaml",'
        '"object":"o","num_envs":2,"seed":1,"device":"cpu","env_spacing":3.0}}]}',
        "jobs.json",
    )
    assert typed.config() == legacy.config()


def test_a_run_may_be_null(load: Any) -> None:
    text = SHARED_RUNS.replace("baseline: {}", "baseline:")
    assert load(text)[0].config() == load(SHARED_RUNS)[0].config()


def test_null_takes_away_what_is_shared(load: Any) -> None:
    text = SHARED_RUNS + "    rollout_limit: {num_steps: null, num_episodes: 3}\n"
    assert load(text)[1].rollout.episodes == 3


def test_without_a_limit_the_policys_own_length_counts(load: Any) -> None:
    assert load(SHARED_RUNS.replace("rollout_limit: {num_steps: 50}", ""))[0].rollout.steps == "policy"


def test_problems_found_later_have_arenas_keys_and_lines(load: Any) -> None:
    baseline, billiard = load(SHARED_RUNS)
    for job, key, place in [
        (baseline, ("environment", "id"), "2: shared.environment.type"),
        (billiard, ("environment", "options", "args", "hdr"), "8: runs.billiard_hall.environment.hdr"),
        (billiard, ("policy", "type"), "3: shared.policy.type"),
        (billiard, ("rollout", "steps"), "4: shared.rollout_limit.num_steps"),
        (billiard, ("environment", "seed"), "7: runs.billiard_hall.environment_builder.seed"),
        (billiard, ("environment", "options", "builder", "x"), "7: runs.billiard_hall.environment_builder.x"),
    ]:
        assert str(job.problem(key, "bad")) == f"jobs.yaml:{place}: bad"


def test_a_list_of_runs_is_named_by_index(load: Any) -> None:
    job = load(VARIATIONS_YAML)[0]
    assert str(job.problem(("name",), "bad")) == "jobs.yaml:2: runs[0].name: bad"
    assert str(job.problem(("policy", "type"), "bad")) == "jobs.yaml:6: runs[0].policy.type: bad"


RECORDED = (
    "runs: {a: {environment: {type: table}, policy: {type: zero_action},"
    " recorded_variation_samples_paths: [r0.jsonl, r1.jsonl], num_rebuilds: 9}}"
)


def test_recorded_variations_are_run_once_each(load: Any, tmp_path: Path) -> None:
    """As many rebuilds as there are files, whatever the run says, and as many episodes as they hold."""
    job = load_recorded(load, tmp_path, RECORDED, ["{}\n" * 3, "{}\n\n{}\n"])
    assert (job.rollout.episodes, job.rollout.rebuilds, job.rollout.steps) == (5, 2, None)
    assert job.environment.options["recorded_variations"] == ["r0.jsonl", "r1.jsonl"]
    problem = str(job.problem(("environment", "options", "recorded_variations"), "bad"))
    assert problem == "jobs.yaml:1: runs.a.recorded_variation_samples_paths: bad"


def load_recorded(load: Any, folder: Path, text: str, contents: list[str]) -> Any:
    for number, content in enumerate(contents):
        (folder / f"r{number}.jsonl").write_text(content)
    return load(text)[0]


def test_trajectories_stand_where_native_jobs_have_them(load: Any) -> None:
    run = "runs: {a: {environment: {type: t}, policy: {type: p}, rollout_limit: {num_steps: 1}, %s}}"
    (job,) = load(run % "environment_builder: {record_trajectories: true, camera_height: 90}")
    assert job.record.trajectory
    assert job.environment.options["builder"] == {"camera_height": 90}
