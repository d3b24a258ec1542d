"""No false green: what each ending of a job looks like to pytest, the records and the reports."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.integration.conftest import TEST_BODY, Suite

TRAP = "tests.registered:arena/Trap-v0"


def trap(kind: str, episode: int = 2, **job: object) -> dict[str, object]:
    return {"environment": {"id": TRAP, "options": {"make": {"trap": kind, "episode": episode}}}, **job}


def test_passed_and_failed(suite: Suite) -> None:
    suite.jobs(
        {
            "good": {"thresholds": {"success_rate": ">= 0.01"}},
            "bad": {"thresholds": {"success_rate": "> 99%"}},
        }
    )
    suite.test()
    result = suite.run("--junitxml=junit.xml")
    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=1)
    good, bad = suite.arena("good"), suite.arena("bad")
    assert (good["status"], good["verdict"]) == ("completed", "pass")
    assert (bad["status"], bad["verdict"]) == ("completed", "fail")
    assert bad["thresholds"][0]["passed"] is False
    assert len(bad["boundaries"]) == 4
    metrics = json.loads((suite.run_dir / "metrics.json").read_text())
    beside = {"status": "completed", "verdict": "fail", "episodes_measured": 4}
    assert metrics["bad"] == {**bad["metrics"], **beside}
    manifest = json.loads((suite.run_dir / "run.json").read_text())
    assert manifest["exit_status"] == 1
    assert manifest["jobs"]["bad"]["config_sha256"] == bad["config_sha256"]
    properties = {p.get("name"): p.get("value") for p in ET.parse(suite.path / "junit.xml").iter("property")}
    assert properties["arena_verdict"] in ("pass", "fail")
    assert properties["arena_seed"] == "0"
    assert properties["arena_record"] in ("good/record.json", "bad/record.json")
    rate, low, high = (float(properties[f"arena_success_rate{end}"]) for end in ("", "_low", "_high"))
    assert 0 <= low <= rate <= high <= 1
    assert low < high
    result.stdout.fnmatch_lines(
        ["*= arena =*", "job *episodes*success*", "good *4/4*pass*", "bad *4/4*fail*"]
    )


def test_the_assertion_says_everything(suite: Suite) -> None:
    camera = {"environment": {"cameras": {"render": {}}}}
    suite.jobs({"bad": {"thresholds": {"success_rate": ">= 99%", "episode_length": "< 1e9"}, **camera}})
    suite.test()
    result = suite.run()
    result.stdout.fnmatch_lines(
        [
            "*job 'bad': 1 of 2 thresholds failed over 4 episodes",
            "*✗ success_rate = * (95% interval 0.* to *), expected >= 99%*",
            "*✓ episode_length = *, expected < 1e9",
            "*failed episodes: * of 4",
            "*episode *: failure, seed *, time_out after * steps, return *",
            "*arena-results/*/bad/videos/episode-000*-env0-render.mp4",
            "*record: */bad/record.json",
        ]
    )
    result.stdout.no_fnmatch_line("*result.py*")


@pytest.mark.parametrize("culprit", ["environment", "policy"])
def test_an_exception_ends_that_job_alone(suite: Suite, culprit: str) -> None:
    broken = (
        trap("raise")
        if culprit == "environment"
        else {"policy": {"type": "tests.registered:Broken", "at": 12}}
    )
    suite.jobs({"before": {}, "broken": broken, "after": {}})
    suite.test()
    result = suite.run()
    assert result.ret == 1
    assert suite.outcomes() == {"before": "passed", "broken": "failed", "after": "passed"}
    arena = suite.arena("broken")
    assert arena["status"] == "error"
    assert arena["verdict"] == "error"
    assert "broke" in arena["error"]["message"]
    assert "registered.py" in arena["error"]["traceback"]
    finished = [e for e in suite.episodes("broken") if e["outcome"] != "error"]
    assert len(finished) == arena["episodes"]["measured"] >= 1
    assert arena["episodes"]["errors"] == 1
    assert arena["metrics"]["episode_length"] is not None
    assert len(arena["boundaries"]) == len(finished)
    result.stdout.fnmatch_lines(["*registered.py:*", "broken *error*"])


def test_an_environment_that_cannot_be_made(suite: Suite) -> None:
    suite.jobs({"broken": {"environment": {"options": {"make": {"nonsense": 1}}}}, "after": {}})
    suite.test()
    result = suite.run()
    assert result.ret == 1
    assert suite.arena("broken")["status"] == "error"
    assert "nonsense" in suite.record("broken")["error"]["message"]
    assert suite.outcomes()["after"] == "passed"


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (
            {
                "environment": {"id": "tests.registered:arena/Endless-v0"},
                "rollout": {"episodes": None, "steps": 50},
            },
            "no episode finished in 50 steps: an episode lasts up to 100 steps",
        ),
        (
            {
                "environment": {"id": "tests.registered:arena/Unlimited-v0"},
                "rollout": {"episodes": None, "steps": 9},
            },
            "no episode finished in 9 steps: this environment has no step limit",
        ),
        (
            {"environment": {"id": "tests.registered:arena/Unlimited-v0"}, "rollout": {"timeout": 0.3}},
            "timed out after 0.3 s",
        ),
        (trap("hang", rollout={"timeout": 0.5}), "timed out after 0.5 s"),
        (
            {"environment": {"id": "CartPole-v1"}, "thresholds": {"success_rate": ">= 0.5"}},
            "threshold success_rate >= 0.5 cannot be judged: not measured in any of 4 episodes",
        ),
        (
            {"rollout": {"episodes": None, "steps": "policy"}},
            "policy 'zero' has no length of its own",
        ),
    ],
    ids=["steps", "steps-unlimited", "timeout", "hang", "unmeasured", "no-length"],
)
def test_what_is_no_measurement_is_an_error(suite: Suite, job: dict[str, object], words: str) -> None:
    suite.jobs({"job": job})
    suite.test()
    result = suite.run()
    assert result.ret == 1
    arena = suite.arena("job")
    assert arena["status"] == "error"
    assert words in arena["error"]["message"]
    result.stdout.fnmatch_lines([f"*{words}*"])


def test_steps_mode_counts_what_ended_and_says_what_that_means(suite: Suite) -> None:
    suite.jobs({"job": {"rollout": {"episodes": None, "steps": 40}, "environment": {"num_envs": 2}}})
    suite.test()
    assert suite.run().ret == 0
    arena = suite.arena("job")
    assert arena["episodes"]["measured"] > 4
    assert arena["reproducible"] is False
    assert "favours short" in arena["notes"][0]


def test_an_arena_style_policy_gives_its_own_length(suite: Suite) -> None:
    policy = {"type": "tests.registered:ArenaStyle", "gain": 0.5}
    suite.jobs({"job": {"policy": policy, "rollout": {"episodes": None, "steps": "policy"}}})
    suite.test()
    assert suite.run().ret == 0
    assert suite.arena("job")["steps"] == 30


def test_rebuilds_split_episodes_and_have_seeds_of_their_own(suite: Suite) -> None:
    suite.jobs({"job": {"rollout": {"episodes": 5, "rebuilds": 2}}})
    suite.test()
    assert suite.run().ret == 0
    episodes = suite.episodes("job")
    assert [e["rebuild"] for e in episodes] == [0, 0, 0, 1, 1]
    assert [e["episode"] for e in episodes] == [0, 1, 2, 3, 4]
    assert len({e["seed"] for e in episodes}) == 5
    assert [e["start_step"] for e in episodes[1:]] == [e["end_step"] + 1 for e in episodes[:-1]]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def test_it(arena_job): pass", "without running its job 'bad'"),
        ("def test_it(arena_rollout): arena_rollout()", "1 of 1 thresholds failed"),
    ],
    ids=["never-run", "never-asserted"],
)
def test_a_test_cannot_pass_by_forgetting(suite: Suite, body: str, words: str) -> None:
    suite.jobs({"bad": {"thresholds": {"success_rate": "> 0.99"}}})
    suite.test(f'import pytest\n@pytest.mark.arena("jobs.yaml")\n{body}\n')
    result = suite.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"*{words}*"])


def test_users_can_assert_more(suite: Suite) -> None:
    suite.jobs({"good": {}})
    suite.test(
        """
        import pytest

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout, arena_dir, arena_run_dir):
            result = arena_rollout()
            assert (arena_dir / "episodes.jsonl").exists() and arena_dir.parent == arena_run_dir
            assert result.metrics["return"] > 1e9
        """
    )
    assert suite.run().ret == 1
    assert suite.arena("good")["status"] == "completed"


def start(suite: Suite, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *args]
    return subprocess.Popen(
        command, cwd=suite.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.parametrize("kind", ["SIGINT", "SIGTERM"])
def test_interrupts_write_reports(suite: Suite, kind: str) -> None:
    suite.jobs({"before": {}, "cut": trap(kind), "never": {"environment": {"num_envs": 2}}})
    suite.test()
    with start(suite) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 2, output
    assert suite.record("cut")["status"] == "interrupted"
    assert len(suite.episodes("cut")) == 2
    assert suite.outcomes()["before"] == "passed"
    assert suite.outcomes()["cut"] != "passed"
    assert "never" not in suite.outcomes()
    assert suite.arena("cut")["episodes"]["measured"] == 2
    assert json.loads((suite.run_dir / "run.json").read_text())["exit_status"] == 2


@pytest.mark.parametrize("kind", ["SIGKILL", "exit"])
def test_a_killed_process_leaves_all_finished_episodes(suite: Suite, kind: str) -> None:
    suite.jobs({"cut": trap(kind, episode=3, rollout={"episodes": 9})})
    suite.test()
    with start(suite) as process:
        process.communicate(timeout=120)
    assert process.returncode == (-signal.SIGKILL if kind == "SIGKILL" else 3)
    assert [e["episode"] for e in suite.episodes("cut")] == [0, 1, 2]
    assert suite.record("cut")["status"] == "running"


def test_arena_jobs_are_listed_and_say_what_is_missing(suite: Suite) -> None:
    job = {
        "name": "gr1",
        "arena_env_args": {"environment": "gr1_open_microwave", "embodiment": "gr1_joint"},
        "num_episodes": 4,
        "policy_type": "zero_action",
    }
    (suite.path / "arena.json").write_text(json.dumps({"jobs": [job]}))
    suite.run("--arena-jobs", "arena.json", "--co", "-q").stdout.fnmatch_lines(["arena.json::rollout[[]gr1]"])
    result = suite.run("--arena-jobs", "arena.json")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*pip install 'pytest-arena[[]isaaclab]'*"])


def test_bad_files_are_one_line_each_and_nothing_is_simulated(suite: Suite) -> None:
    suite.jobs({"reach": {"rollout": {"episodes": "ten"}}, "push": {}})
    suite.test()
    marker = Path(suite.path / "simulated")
    suite.pytester.makeconftest(f"def pytest_arena_record(record): open({str(marker)!r}, 'w')")
    for args in ([], ["--co"], ["--arena-jobs", "jobs.yaml"]):
        result = suite.run(*args)
        assert result.ret == 4
        (line,) = [line for line in result.stderr.lines if line.strip()]
        assert line.startswith("ERROR: jobs.yaml:")
        assert "jobs.reach.rollout.episodes: expected an integer, got 'ten'" in line
        result.stdout.no_fnmatch_line("*Traceback*")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("job", "args", "words"),
    [
        ({"thresholds": {"sucess_rate": ">= 1"}}, [], "jobs.job.thresholds.sucess_rate: "),
        (
            {"simulator": "gymnasum"},
            [],
            "did you mean 'gymnasium'",
        ),  # which there are depends on other packages
        ({"policy": {"type": "zer0"}}, [], "did you mean 'zero'"),
        ({"policy": {"type": "zero", "gain": 1}}, [], "policy.gain: unknown key"),
        ({"policy": {"type": "no_such_module:Policy"}}, [], "jobs.job.policy.type: "),
        ({"policy": {"type": "tests.registered:Broken", "att": 1}}, [], "jobs.job.policy.att: "),
        ({}, ["--arena-set", "rollout.epsodes=3"], "did you mean 'episodes'"),
        ({}, ["--arena-set", "jbo:rollout.episodes=3"], "did you mean 'job'"),
        ({}, ["--arena-set", "nonsense"], "--arena-set nonsense"),
        ({}, ["--arena-jobs", "missing.yaml"], "missing.yaml"),
        ({}, ["--arena-jobs", "."], "directory"),
        ({}, ["--arena-output", "jobs.yaml"], "--arena-output"),
        ({}, ["--arena-output", "jobs.yaml", "-n", "1"], "--arena-output"),
        ({}, ["--arena-workers-per-gpu", "0"], "--arena-workers-per-gpu"),
        ({}, ["-o", "arena_workers_per_gpu=x"], "--arena-workers-per-gpu"),
    ],
)
def test_what_is_refused_before_anything_runs(
    suite: Suite, job: dict[str, object], args: list[str], words: str
) -> None:
    suite.jobs({"job": job})
    suite.test()
    result = suite.run(*args)
    assert result.ret == 4, result.stdout.str()
    errors = [line for line in result.stderr.lines if line.startswith("ERROR")]
    assert len(errors) == 1
    assert words in errors[0]
    assert not (suite.path / "arena-results").exists()


@pytest.mark.parametrize(
    "body",
    [
        "@pytest.mark.arena()\ndef test_it(arena_rollout): pass",
        "@pytest.mark.arena(3)\ndef test_it(arena_rollout): pass",
        '@pytest.mark.arena("missing.yaml")\ndef test_it(arena_rollout): pass',
        '@pytest.mark.arena("jobs.yaml", "jobs.yaml")\ndef test_it(arena_rollout): pass',
        '@pytest.mark.arena("jobs.yaml")\ndef test_it(): pass',
    ],
)
def test_bad_markers_are_usage_errors(suite: Suite, body: str) -> None:
    suite.jobs({"job": {}})
    suite.test(f"import pytest\n{body}\n")
    assert suite.run().ret == 4


def test_a_time_to_success_without_successes_is_a_failed_threshold_beside_the_others(suite: Suite) -> None:
    thresholds = {"success_rate": ">= 0.5", "time_to_success": "< 100"}
    environment = {"id": "tests.registered:arena/Endless-v0"}
    suite.jobs({"bad": {"environment": environment, "thresholds": thresholds}})
    suite.test()
    result = suite.run()
    assert suite.arena("bad")["verdict"] == "fail"
    result.stdout.fnmatch_lines(
        ["*2 of 2 thresholds failed*", "*success_rate = 0*", "*time_to_success: not measured*"]
    )


FULL_DISK = """
import pytest

@pytest.mark.arena("jobs.yaml")
def test_it(arena_rollout, arena_job, arena_run_dir):
    if arena_job.name != "later":
        arena_rollout()
    with (arena_run_dir / "others").open("wb", 0) as others, pytest.raises(OSError):
        while True:
            others.write(bytes(4096))
    if arena_job.name == "later":
        arena_rollout()
"""


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["alone", "n1"])
@pytest.mark.parametrize("job", ["passed", "later"])
def test_results_that_cannot_be_written_fail_the_session_in_a_line_each(
    suite: Suite, small_disk: Path, job: str, workers: tuple[str, ...]
) -> None:
    suite.jobs({job: {}, "next": {}})
    suite.test(FULL_DISK)
    chosen = ("-k", "passed") if job == "passed" else ()
    result = suite.run("--arena-output", str(small_disk), *chosen, *workers)
    assert result.ret == (3 if job == "passed" else 1)
    lines = [line for line in result.outlines if "could not be written" in line]
    named = ["metrics.json", "run.json", "report.json"]
    if job == "later":
        named = ["next/record.json", "later/record.json", *named]
    named = ["index.html", "the history of the runs", *named]  # which cost the session nothing
    assert lines == [f"{name} could not be written: No space left on device" for name in named]
    assert "INTERNALERROR" not in result.stdout.str()
    assert result.stderr.str() == ""


STOPPED = """
import pytest

@pytest.mark.arena("jobs.yaml")
def test_it(arena_rollout):
    raise KeyboardInterrupt
"""


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["alone", "n1"])
def test_an_interrupted_run_says_how_it_goes_on(suite: Suite, workers: tuple[str, ...]) -> None:
    suite.jobs({"reach": {}})
    suite.test(STOPPED)
    result = suite.run(*workers)
    assert result.ret == 2
    result.stdout.fnmatch_lines(
        ["the same command with --arena-resume arena-results/" + suite.run_dir.name + " goes on"]
    )


NO_REPORT = """
import pytest

@pytest.mark.arena("jobs.yaml")
def test_it(arena_rollout, arena_run_dir):
    arena_rollout()
    (arena_run_dir / "report.json").mkdir()
"""


def test_a_report_that_cannot_be_written_is_in_the_exit_status_of_the_manifest(suite: Suite) -> None:
    suite.jobs({"reach": {}})
    suite.test(NO_REPORT)
    result = suite.run()
    assert result.ret == 3
    assert json.loads((suite.run_dir / "run.json").read_text())["exit_status"] == 3
    assert [line for line in result.outlines if "could not be written" in line] == [
        "report.json could not be written: Is a directory"
    ]


ANOTHER_CAMERA = """
class TestCamera:
    @pytest.fixture
    def arena_recorders(self):
        from pytest_arena import VideoRecorder
        return [VideoRecorder("on", ["front"])]

    @pytest.mark.arena("jobs.yaml")
    def test_it(self, arena_rollout):
        arena_rollout()
"""


def test_a_users_mistake_shows_no_source_of_the_package(suite: Suite) -> None:
    suite.jobs(
        {
            "length": {"rollout": {"episodes": None, "steps": "policy"}},
            "codec": {
                "environment": {"cameras": {"render": {}}},
                "record": {"video": "on", "video_codec": {"name": "h264_nvenc"}},
            },
        }
    )
    suite.test(TEST_BODY + ANOTHER_CAMERA)
    result = suite.run()
    printed = result.stdout.str()
    assert "policy 'zero' has no length of its own" in printed
    assert "record.cameras: the environment has no camera 'front'; it has no cameras" in printed
    assert not re.search(r"\w+/pytest_arena/\w+", printed)
