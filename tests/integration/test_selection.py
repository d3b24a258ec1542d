"""Jobs are ordinary tests: selecting, listing, rerunning."""

from __future__ import annotations

import json

import pytest

from tests.integration.conftest import Suite, parse

JOBS = {
    "reach": {"tags": ["smoke"]},
    "push": {"thresholds": {"success_rate": "> 0.99"}},
    "door": {"tags": ["smoke", "slow"], "environment": {"num_envs": 2}},
}


@pytest.fixture
def three(suite: Suite) -> Suite:
    suite.jobs(JOBS)
    suite.test()
    return suite


def test_node_ids_and_listing(three: Suite) -> None:
    result = three.run("--co", "-q")
    result.stdout.fnmatch_lines(
        ["test_it.py::test_it[[]reach]", "test_it.py::test_it[[]push]", "test_it.py::test_it[[]door]"]
    )
    assert not (three.path / "arena-results").exists()


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["-m", "smoke"], ["reach", "door"]),
        (["-m", "smoke and not slow"], ["reach"]),
        (["-k", "push"], ["push"]),
        (["test_it.py::test_it[door]"], ["door"]),
        (["--deselect", "test_it.py::test_it[push]"], ["reach", "door"]),
        (["-x"], ["reach", "push"]),
    ],
)
def test_selecting(three: Suite, args: list[str], names: list[str]) -> None:
    three.run("--strict-markers", *args)
    assert list(three.outcomes()) == names
    assert sorted(p.name for p in three.run_dir.iterdir() if p.is_dir()) == sorted(names)


def test_last_failed(three: Suite) -> None:
    assert three.run().ret == 1
    assert three.outcomes() == {"reach": "passed", "push": "failed", "door": "passed"}
    three.run("--lf")
    assert list(three.outcomes()) == ["push"]


def test_reruns_keep_every_attempt(three: Suite) -> None:
    three.run("--reruns", "2", "-k", "push")
    folders = sorted(p.name for p in three.run_dir.iterdir() if p.is_dir())
    assert folders == ["push", "push.2", "push.3"]
    assert three.outcomes() == {"push": "failed"}
    assert three.arena("push")["attempt"] == 3


def test_a_rerun_that_passes_is_reported_as_passed(suite: Suite) -> None:
    suite.jobs({"reach": {}})
    suite.test(
        """
        import pytest
        tries = []

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout):
            tries.append(arena_rollout())
            assert len(tries) > 1
        """
    )
    result = suite.run("--reruns", "1")
    assert result.ret == 0
    assert suite.outcomes() == {"reach": "passed"}
    assert suite.report()["summary"]["passed"] == 1


def test_jobs_that_share_an_environment_run_together(suite: Suite) -> None:
    two = {"environment": {"num_envs": 2}}
    suite.jobs({"a": {}, "b": two, "c": {}, "d": two})
    suite.test()
    suite.run()
    assert list(suite.outcomes()) == ["a", "c", "b", "d"]


def test_other_tests_keep_their_place(suite: Suite) -> None:
    suite.jobs({"a": {}, "b": {}})
    suite.test()
    suite.pytester.makepyfile(test_first="def test_1(): pass", test_last="def test_2(): pass")
    suite.run("test_first.py", "test_it.py", "test_last.py")
    nodes = [t["nodeid"].split("::")[0] for t in suite.report()["tests"]]
    assert nodes == ["test_first.py", "test_it.py", "test_it.py", "test_last.py"]


def test_files_without_python(suite: Suite) -> None:
    suite.jobs({"reach": {"tags": ["smoke"]}, "push": {}}, name="more.yaml")
    suite.pytester.makepyfile(test_other="def test_other(): pass")
    result = suite.run("--arena-jobs", "more.yaml")
    result.assert_outcomes(passed=2)
    assert [t["nodeid"] for t in suite.report()["tests"]] == [
        "more.yaml::rollout[reach]",
        "more.yaml::rollout[push]",
    ]
    suite.run("--arena-jobs", "more.yaml", "-m", "smoke").assert_outcomes(passed=1, deselected=1)
    suite.run("--arena-jobs", "more.yaml", "more.yaml::rollout[push]").assert_outcomes(passed=1)
    suite.run("--arena-jobs", "more.yaml", "test_other.py").assert_outcomes(passed=3)


@pytest.mark.parametrize("args", [["jobs.yaml"], ["jobs.yaml", "-n", "1"]])
def test_a_job_file_given_like_a_test_names_the_option(suite: Suite, args: list[str]) -> None:
    suite.jobs({"reach": {}})
    result = suite.run(*args)
    assert result.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED)
    result.stdout.fnmatch_lines(["jobs.yaml looks like a job file: pytest --arena-jobs jobs.yaml evaluates*"])


def test_ini_twin_of_arena_jobs(suite: Suite) -> None:
    suite.jobs({"reach": {}}, name="more.yaml")
    suite.pytester.makeini("[pytest]\narena_jobs = more.yaml\narena_output = elsewhere\narena_video = off\n")
    suite.run().assert_outcomes(passed=1)
    assert (suite.path / "elsewhere").is_dir()


def test_a_job_that_python_evaluates_is_not_collected_twice(three: Suite) -> None:
    result = three.run("--arena-jobs", "jobs.yaml", "test_it.py", "--co", "-q")
    result.stdout.no_fnmatch_line("*rollout*")
    result.stdout.fnmatch_lines(["3/6 tests collected (3 deselected)*"])


def test_two_tests_over_one_file_have_folders_of_their_own(suite: Suite) -> None:
    suite.jobs({"reach": {}})
    suite.test(
        """
        import pytest
        pytestmark = pytest.mark.arena("jobs.yaml")

        def test_one(arena_rollout):
            arena_rollout()

        def test_two(arena_rollout):
            arena_rollout()
        """
    )
    suite.run().assert_outcomes(passed=2)
    assert sorted(p.name for p in suite.run_dir.iterdir() if p.is_dir()) == [
        "reach-test_one",
        "reach-test_two",
    ]


def test_overrides(three: Suite) -> None:
    three.run(
        "--arena-set", "rollout.episodes=2", "--arena-set", "push:thresholds.success_rate=>= 0.01"
    ).assert_outcomes(passed=3)
    assert [three.arena(job)["episodes"]["measured"] for job in ("reach", "push", "door")] == [2, 2, 2]


def test_without_jobs_the_plugin_leaves_nothing(suite: Suite) -> None:
    suite.pytester.makepyfile(test_plain="def test_1(): pass")
    for args in ([], ["-n", "1"]):
        result = suite.run(*args)
        assert result.ret == 0
        result.stdout.no_fnmatch_line("*arena:*")
        assert not (suite.path / "arena-results").exists()
        assert not (suite.path / ".report.json").exists()


@pytest.mark.parametrize("how", ["option", "ini"])
def test_files_without_python_reach_the_workers(suite: Suite, how: str) -> None:
    (suite.path / "elsewhere").mkdir()
    suite.jobs({"reach": {}, "push": {}}, name="elsewhere/more.yaml")
    suite.pytester.makepyfile(test_other="def test_other(): pass")
    if how == "ini":
        suite.pytester.makeini("[pytest]\narena_jobs = elsewhere/more.yaml\n")
        suite.run("-n", "2").assert_outcomes(passed=3)
    else:
        suite.run("-n", "2", "--arena-jobs", "elsewhere/more.yaml").assert_outcomes(passed=2)
    assert {"reach", "push"} <= set(suite.outcomes())


FILE_JOBS = {
    "good": {},
    "bad": {"thresholds": {"success_rate": ">= 100%"}},
    "other": {"environment": {"num_envs": 2}},
    "later": {},
}


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["--lf"], ["bad"]),
        (["--ff"], ["bad", "good", "later", "other"]),
        (["--sw", "--sw-skip"], ["bad", "later", "other"]),
        (["jobs.yaml::rollout[bad]"], ["bad"]),
        (["--deselect", "jobs.yaml::rollout[bad]"], ["good", "later", "other"]),
        (["--lf", "-n", "2"], ["bad"]),
    ],
    ids=["lf", "ff", "sw", "node-id", "deselect", "lf-n2"],
)
def test_jobs_of_a_file_are_remembered_by_their_ids(suite: Suite, args: list[str], names: list[str]) -> None:
    suite.jobs(FILE_JOBS)
    cache = suite.path / ".pytest_cache" / "v" / "cache"
    cache.mkdir(parents=True)
    ids = {name: f"jobs.yaml::rollout[{name}]" for name in FILE_JOBS}
    (cache / "lastfailed").write_text(json.dumps({ids["bad"]: True}))
    date = "2026-01-01T00:00:00"
    stepwise = {"last_failed": ids["bad"], "last_test_count": 4, "last_cache_date_str": date}
    (cache / "stepwise").write_text(json.dumps(stepwise))
    result = suite.run("--arena-jobs", "jobs.yaml", *args)
    assert result.ret == (0 if "--deselect" in args else 1)
    assert list(suite.outcomes()) == names


def test_names_that_could_be_one_folder(suite: Suite) -> None:
    sharded = {"rollout": {"episodes": 4, "shards": 2}}
    suite.jobs({"reach": {}, "Reach": {}, "reach.2": {}, "reach-shard0of2": {}})
    suite.jobs({"reach": sharded}, name="sharded.yaml")
    long = "x" * 250
    suite.test(
        f"""
        import pytest

        @pytest.mark.arena("jobs.yaml")
        def test_plain(arena_rollout): arena_rollout()

        @pytest.mark.arena("sharded.yaml")
        def test_sharded(arena_rollout): arena_rollout()

        @pytest.mark.arena("jobs.yaml")
        def test_{long}(arena_rollout): arena_rollout()
        """
    )
    assert suite.run("--keep-duplicates", "test_it.py", "test_it.py").ret == 0
    records = {path.parent.name: parse(path.read_text()) for path in suite.run_dir.glob("*/record.json")}
    assert len({name.casefold() for name in records}) == 2 * (4 + 3 + 4)
    for name, record in records.items():
        assert (record["job"], record["attempt"], record["status"]) == (name, 1, "completed")
        assert {e["job"] for e in suite.episodes(name)} == {name}
    wholes = [r for r in records.values() if r["nodeid"].endswith("test_sharded[reach]")]
    assert [record["episodes"]["measured"] for record in wholes] == [4, 4]


@pytest.mark.parametrize("args", [[], ["-n", "1", "--import-mode=importlib"]])
def test_modules_beside_a_job_file(suite: Suite, args: list[str]) -> None:
    folder = suite.pytester.mkdir("evals")
    (folder / "my_envs.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Mine-v0', entry_point='my_scripts:Mine', max_episode_steps=9)\n"
    )
    (folder / "my_scripts.py").write_text("from tests.fakes import ScriptedEnv as Mine\n")
    (folder / "my_policy.py").write_text(
        "import numpy\n"
        "class Mine:\n"
        "    def act(self, observation):\n"
        "        return numpy.zeros((len(observation), 2), numpy.float32)\n"
    )
    environment, policy = {"id": "my_envs:Mine-v0"}, {"type": "my_policy:Mine"}
    suite.jobs({"reach": {}}, name="evals/jobs.yaml", environment=environment, policy=policy)
    suite.run("--arena-jobs", "evals/jobs.yaml", *args).assert_outcomes(passed=1)
