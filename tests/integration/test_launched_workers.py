"""Workers that are started through a command."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from pytest_arena.records.lock import SESSION, WORKERS
from tests.integration.conftest import Suite
from tests.lacking import lacking

LAUNCHED = """
import json
import os
import pytest

@pytest.mark.arena("jobs.yaml")
def test_it(arena_rollout, arena_job, request, tmp_path):
    arena_rollout()
    launched = {"pid": os.environ.get("LAUNCHED"), "directory": os.getcwd()}
    (request.config.rootpath / f"{arena_job.name}.launched").write_text(json.dumps(launched))
"""

JOBS = {f"job{i}": {} for i in range(4)}


def script(suite: Suite, text: str, name: str = "launch") -> str:
    """Write a launcher; returns its path."""
    path = suite.path / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def launched(suite: Suite) -> Suite:
    suite.jobs(JOBS)
    suite.test(LAUNCHED)
    return suite


def said(result: pytest.RunResult) -> str:
    return result.stdout.str() + result.stderr.str()


def numbers(suite: Suite) -> dict[str, list[tuple[int, int, float]]]:
    return {job: [(e["seed"], e["length"], e["return"]) for e in suite.episodes(job)] for job in JOBS}


@pytest.mark.parametrize(
    "launcher",
    [
        'cd / && LAUNCHED=$$ exec "$@"',
        'cd / && export LAUNCHED=$$ && sh -c "$*"',  # ssh joins the words for a shell on the other side
        'echo "welcome to this node"; LAUNCHED=$$ "$@"',
    ],
    ids=["env", "ssh", "noisy"],
)
def test_jobs_run_through_it(launched: Suite, launcher: str) -> None:
    assert launched.run().ret == 0
    alone = numbers(launched)
    result = launched.run("-n", "2", "--arena-launcher", script(launched, launcher))
    assert result.ret == 0, said(result)
    result.assert_outcomes(passed=len(JOBS))
    assert numbers(launched) == alone
    told = [json.loads(path.read_text()) for path in launched.path.glob("*.launched")]
    assert len(told) == len(JOBS)
    assert len({worker["pid"] for worker in told}) == 2, "each worker has a launcher of its own"
    assert {worker["directory"] for worker in told} == {str(launched.path)}
    assert [
        path
        for path in launched.run_dir.iterdir()
        if path.name.startswith(".") and path.name not in (SESSION, WORKERS)
    ] == []
    manifest = json.loads((launched.run_dir / "run.json").read_text())
    assert manifest["options"]["launcher"].endswith("launch")


def test_words_with_slashes_and_spaces_arrive(launched: Suite) -> None:
    check = script(launched, '[ "$1" = "http://a b//c" ] && shift && exec "$@"')
    result = launched.run("-n", "1", "--arena-launcher", f"{check} 'http://a b//c'")
    assert result.ret == 0, said(result)


def test_each_worker_can_go_to_another_place(launched: Suite) -> None:
    check = script(launched, 'export LAUNCHED=$1; shift; exec "$@"')
    result = launched.run("-n", "2", "--arena-launcher", f"{check} node{{worker}}")
    assert result.ret == 0, said(result)
    told = [json.loads(path.read_text()) for path in launched.path.glob("*.launched")]
    assert {worker["pid"] for worker in told} == {"node0", "node1"}


def test_an_ini_file_names_it(launched: Suite) -> None:
    check = script(launched, 'LAUNCHED=$$ exec "$@"')
    (launched.path / "pytest.ini").write_text(f"[pytest]\narena_launcher = {check}\n")
    for args, through in ((["-n", "1"], True), ([], False), (["-n", "0"], False)):
        assert launched.run(*args).ret == 0
        told = json.loads((launched.path / "job0.launched").read_text())
        assert (told["pid"] is not None) is through


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--arena-launcher", "env"], "--arena-launcher 'env': say how many workers to start, e.g. -n 4"),
        (["-n1", "--arena-launcher", "no-such-thing -u"], "there is no executable 'no-such-thing'"),
        (["-n1", "--arena-launcher", ""], "--arena-launcher: expected a command, got none"),
        (["-n1", "--arena-launcher", "env 'A"], "No closing quotation"),
    ],
)
def test_mistakes_are_told_before_anything_starts(launched: Suite, args: list[str], message: str) -> None:
    result = launched.run(*args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in said(result)
    assert not (launched.path / "arena-results").exists()


def test_a_limit_that_is_no_number(launched: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ARENA_LAUNCH_TIMEOUT", "soon")
    result = launched.run("-n1", "--arena-launcher", "env")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "PYTEST_ARENA_LAUNCH_TIMEOUT: expected seconds, got 'soon'" in said(result)


def test_listing_starts_no_worker(launched: Suite) -> None:
    result = launched.run("--collect-only", "-q", "--arena-launcher", "no-such-thing")
    assert result.ret == 0
    assert "test_it.py::test_it[job0]" in said(result)


@pytest.mark.parametrize(
    ("launcher", "expected"),
    [
        (
            "echo out; echo no quota >&2; exit 3",
            ["ended with exit status 3 before a worker answered", "  no quota"],
        ),
        ("echo hm >&2; sleep 60", ["no worker answered within 3 s", "  hm"]),
        ('"$@" | grep --line-buffered ""', ["no worker answered within 3 s", "unbuffered"]),
        ('"$@" < /dev/null', ["standard input is closed: the launcher must pass it on"]),
    ],
    ids=["fails", "silent", "buffers", "no-input"],
)
def test_a_worker_that_does_not_start(
    launched: Suite, monkeypatch: pytest.MonkeyPatch, launcher: str, expected: list[str]
) -> None:
    monkeypatch.setenv("PYTEST_ARENA_LAUNCH_TIMEOUT", "3")
    result = launched.run("-n", "2", "--arena-launcher", script(launched, launcher))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    for line in expected:
        assert line in said(result)
    assert "Traceback" not in said(result)
    assert not list((launched.path / "arena-results").glob("*")), "an unused directory goes"


def test_a_replacement_that_does_not_start(launched: Suite) -> None:
    launched.test(
        """
        import os
        import pytest

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout):
            arena_rollout()
            os._exit(1)
        """
    )
    once = script(launched, 'mkdir once && exec "$@"; echo no more nodes >&2; exit 3')
    result = launched.run("-n", "1", "--arena-launcher", once)
    assert result.ret not in (0, 1)
    assert "no more nodes" in said(result)
    assert launched.report()["summary"]["failed"] == 1


@pytest.fixture
def hidden_folders() -> None:
    """For tests that hide folders from a worker."""
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    if shutil.which("unshare") is None or subprocess.run(command, capture_output=True).returncode:
        lacking("hiding a folder needs root and unshare")


@pytest.mark.usefixtures("hidden_folders")
def test_a_worker_that_cannot_see_the_run_directory(launched: Suite) -> None:
    results = launched.path / "arena-results"
    results.mkdir()
    hide = script(launched, f'mount -t tmpfs none {results} && exec "$@"', "hide")
    result = launched.run("-n", "2", "--arena-launcher", f"unshare -m {hide}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"does not see the run's directory {results}" in said(result)
    assert "give --arena-output a directory on a file system that all machines share" in said(result)
    assert not list(results.glob("*"))


@pytest.mark.usefixtures("hidden_folders")
def test_a_worker_without_the_working_directory(launched: Suite) -> None:
    hide = script(launched, f'cd / && mount -t tmpfs none {launched.path.parent} && exec "$@"', "hide")
    result = launched.run("-n", "1", "--arena-launcher", f"unshare -m {hide}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"cannot enter the working directory {launched.path}" in said(result)


@pytest.mark.usefixtures("hidden_folders")
def test_temporary_files_on_another_machine(launched: Suite) -> None:
    """``tmp_path`` lies in the controller's temporary folder, which other machines do not have."""
    launched.test(LAUNCHED.replace("arena_rollout()", "arena_rollout(); assert tmp_path.is_dir()"))
    base = launched.path / "only-here"
    hide = script(launched, f'mkdir -p {base} && mount -t tmpfs none {base} && exec "$@"', "hide")
    result = launched.run("-n1", "--basetemp", str(base / "base"), "--arena-launcher", f"unshare -m {hide}")
    assert result.ret == 0, said(result)
