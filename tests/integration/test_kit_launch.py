"""How Isaac Lab on Kit starts, by a stand-in that does to its process what Kit does: what must survive it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.exact import ExactContract
from tests.integration.conftest import Suite, parse
from tests.integration.kit_jobs import DEFAULTS, JOBS, both_generations

pytestmark = pytest.mark.stand_in


@both_generations
def test_what_pytest_needs_survives_the_launch(kit: Suite) -> None:
    """Arguments, streams, captured output and signal handlers, in the very phase that the app starts in.

    pytest sets the streams anew for every phase of a test: in the next one nothing would be seen of it.
    """
    kit.jobs({"good": JOBS["good"]}, **DEFAULTS)
    kit.test(
        """
        import signal, sys
        import pytest

        NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGABRT, signal.SIGSEGV)

        def state():
            handlers = {number.name: signal.getsignal(number) for number in NUMBERS}
            return {"argv": list(sys.argv), "stdout": sys.stdout, "stderr": sys.stderr, **handlers}

        @pytest.fixture
        def before(capsys):
            assert "kit_stand_in" not in sys.modules
            return state()

        @pytest.fixture
        def after(before, arena_env, capsys):
            assert "kit_stand_in" in sys.modules
            assert len(sys.argv) > 1
            assert state() == before
            print("a captured line")
            print("a captured error", file=sys.stderr)
            assert capsys.readouterr() == ("a captured line\\n", "a captured error\\n")

        @pytest.mark.arena("jobs.yaml")
        def test_it(after, arena_rollout):
            arena_rollout().assert_thresholds()
        """
    )
    result = kit.run("-p", "no:hypothesispytest")
    result.assert_outcomes(passed=1)
    assert result.ret == 0


@both_generations
def test_numpy_has_no_threads_when_the_app_starts(kit: Suite) -> None:
    """Kit forks while it starts, which the threads of numpy's BLAS do not survive: the stand-in crashes then."""
    kit.jobs({"good": JOBS["good"]}, **DEFAULTS)
    kit.pytester.makeconftest(
        """
        import os, sys

        def threads():
            return len(os.listdir("/proc/self/task"))

        before = threads()
        assert "numpy" not in sys.modules
        import numpy
        assert threads() == before
        """
    )
    assert kit.run("-p", "no:hypothesispytest").ret == 0


@both_generations
def test_a_crash_after_the_launch_has_a_traceback(kit: Suite) -> None:
    """Where pytest would write it: its own standard error, not the one that it captures."""
    (kit.path / "crash.py").write_text(
        "import os, signal\n\n\nclass Policy:\n    def act(self, observation):\n"
        "        os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    kit.jobs({"good": JOBS["good"]}, **{**DEFAULTS, "policy": {"type": "crash:Policy"}})
    result = kit.run()
    assert result.ret == -signal.SIGSEGV
    result.stderr.fnmatch_lines(["Fatal Python error: Segmentation fault", '*crash.py", line 6 in act'])


def start(kit: Suite, *args: str) -> subprocess.Popen[str]:
    """Start pytest, with an app that writes to a standard error that nobody captures."""
    command = [sys.executable, "-m", "pytest", "-s", *args]
    return subprocess.Popen(
        command,
        cwd=kit.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_the_marks_of_a_start_reach_the_real_standard_error(kit: Suite) -> None:
    """Who watches a start from outside waits for them."""
    kit.jobs({"good": JOBS["good"]}, **DEFAULTS)
    with start(kit) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert errors.splitlines() == ["[kit] starting", "[kit] ready"]


@both_generations
def test_a_start_that_hangs_is_cancelled_in_order(kit: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a CI does that has waited long enough: by SIGTERM, before Kit has taken the signal for its own."""
    monkeypatch.setenv("KIT_STAND_IN", "never-ready")
    kit.jobs(JOBS, **DEFAULTS)
    with start(kit, "--junitxml", "junit.xml") as process:
        assert [process.stderr.readline() for _ in range(2)] == ["[kit] starting\n", "[kit] waits\n"]
        process.terminate()
        output, errors = process.communicate(timeout=120)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output + errors
    assert "ready" not in errors
    assert (kit.record("good")["status"], kit.record("good")["verdict"]) == ("interrupted", "error")
    assert not (kit.run_dir / "bad").exists()
    assert parse((kit.run_dir / "metrics.json").read_text())["good"]["success_rate"] is None
    assert kit.report()["exitcode"] == pytest.ExitCode.INTERRUPTED
    assert (kit.path / "junit.xml").exists()


@both_generations
def test_another_way_to_start_the_app_is_refused_with_advice(kit: Suite) -> None:
    jobs = {
        "with": {"thresholds": {"success_rate": ">= 0.5"}},
        "without": {
            "environment": {"cameras": None, "options": {"overrides": {"scene.wrist": "null"}}},
            "thresholds": {"success_rate": ">= 0.5"},
        },
    }
    kit.jobs(jobs, **DEFAULTS)
    result = kit.run("-p", "no:hypothesispytest")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*'without' needs isaaclab started with *enable_cameras=False*",
            "*an app can be started only once a process: run such jobs with -n*",
            "*1 passed, 1 error*",
        ]
    )
    workers = kit.run("-n", "2", "-p", "no:hypothesispytest")
    assert workers.ret == 0
    workers.assert_outcomes(passed=2)


@both_generations
def test_nothing_of_isaac_is_imported_to_collect(kit: Suite) -> None:
    kit.jobs(JOBS, **DEFAULTS)
    kit.pytester.makeconftest(
        """
        import sys

        def pytest_collection_finish(session):
            names = {name.split(".")[0] for name in sys.modules}
            assert not names & {"isaaclab", "isaaclab_tasks", "isaacsim", "kit_stand_in", "torch"}
            print("CLEAN")
        """
    )
    result = kit.run("--co", "-q", "-s", "-p", "no:hypothesispytest")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*test_it[[]good]", "CLEAN"])


def test_a_camera_without_a_word_in_the_job_is_an_error_of_that_job(kit: Suite) -> None:
    kit.jobs({"good": {**JOBS["good"], "environment": {"cameras": None}}}, **DEFAULTS)
    result = kit.run("-p", "no:hypothesispytest")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*enable_cameras*"])


@both_generations
def test_the_contract_holds_on_the_stand_in(kit: Suite) -> None:
    kit.pytester.makepyfile(
        test_contract="""
        import pytest

        from pytest_arena.simulators.isaaclab.simulator import IsaacLabSimulator
        from tests.exact import ExactContract
        from tests.jobs import make_job


        class TestKit(ExactContract):
            reasons = ("success", "fallen", "time_out", "success")
            first_episode = 1  # one reset is discarded

            @pytest.fixture
            def env(self):
                environment = {"id": "Isaac-Count-v0", "num_envs": 4, "device": "cpu", "cameras": {"wrist": {}}}
                job = make_job(simulator="isaaclab", environment=environment)
                simulator = IsaacLabSimulator()
                simulator.launch(job)
                made = simulator.make(job)
                yield made
                made.close()
        """
    )
    (kit.path / "test_it.py").unlink()
    result = kit.run("-p", "no:hypothesispytest")
    assert result.ret == 0
    tests = [name for name in dir(ExactContract) if name.startswith("test_")]
    # Rows are not reset one by one, and have no seeds of their own.
    result.assert_outcomes(passed=len(tests) - 2, skipped=2)
