"""The process between xdist and a launcher."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_arena.parallel.launch import relay

pytestmark = pytest.mark.process

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a relay before a shell script: ``$0`` is the worker's number, ``$1`` what is to be launched."""
    started = []

    def start(script: str, deadline: float = 10) -> subprocess.Popen[bytes]:
        launch_file = write_launch(tmp_path, ["sh", "-c", script, "{worker}"], deadline)
        command = [sys.executable, "-I", "-S", relay.__file__, str(launch_file), "12", "-u", "-c", "x"]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def write_launch(folder: Path, launcher: list[str], deadline: float) -> Path:
    launch = {
        "launcher": launcher,
        "worker": ["it"],
        "deadline": deadline,
        "directory": "/",
        "ready": "READY",
    }
    path = folder / "launch.json"
    path.write_text(json.dumps(launch))
    return path


def output(process: subprocess.Popen[bytes]) -> bytes:
    """All that the relay passes on; its input stays open, as xdist keeps it."""
    assert process.stdout is not None
    return process.stdout.read()


def report(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("failure-*.json")
    return json.loads(path.read_text())


def test_bytes_pass_both_ways_once_the_worker_has_answered(start: Start) -> None:
    process = start("echo welcome; echo odd >&2; read header; printf READY; exec cat")
    data = os.urandom(3_000_000)
    out, err = process.communicate(data, timeout=20)
    assert out == data
    assert (b"welcome" in err, b"odd" in err) == (True, True), "noise before the answer is for people"
    assert process.returncode == 0


def test_the_worker_is_told_where_to_go(start: Start) -> None:
    assert json.loads(output(start("printf READY; exec head -n 1"))) == {"directory": "/"}


def test_the_launcher_is_told_which_worker_it_starts(start: Start) -> None:
    assert output(start('printf "READY$0 $1"')) == b"12 it"


def test_an_early_end_is_reported(start: Start, tmp_path: Path) -> None:
    process = start("echo out; echo err >&2; exit 7")
    assert (output(process), process.wait(20)) == (b"", 1)
    assert report(tmp_path) == {"reason": "ended", "stdout": "out\n", "stderr": "err\n", "status": 7}


def test_silence_is_reported_and_everything_ended(start: Start, tmp_path: Path) -> None:
    process = start(f"sleep 1000 & echo $! > {tmp_path}/pid; echo waiting >&2; wait; :", deadline=0.5)
    assert process.wait(10) == 1
    assert (report(tmp_path)["reason"], report(tmp_path)["stderr"]) == ("timeout", "waiting\n")
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_controller_that_goes_away_is_not_waited_for(start: Start, tmp_path: Path) -> None:
    process = start("sleep 1000", deadline=1000)
    process.communicate(timeout=10)
    assert list(tmp_path.glob("failure-*")) == []


def test_what_cannot_be_executed_is_reported(tmp_path: Path) -> None:
    launch_file = write_launch(tmp_path, ["/"], 5)
    subprocess.run([sys.executable, relay.__file__, str(launch_file), "0"], timeout=20)
    assert "Permission denied" in report(tmp_path)["error"]


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGTERM"])
def test_it_ends_like_the_worker(start: Start, name: str) -> None:
    process = start(f"printf READY; kill -{name.removeprefix('SIG')} $$")
    assert process.wait(10) == -getattr(signal, name)


def test_a_killed_relay_takes_the_launcher_along(start: Start) -> None:
    process = start("printf READY; echo $$; exec sleep 1000")
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    process.kill()
    for _ in range(100):
        if not alive(worker):
            return
        time.sleep(0.05)
    pytest.fail("the launcher is still running")


def test_an_interrupt_reaches_the_worker(start: Start) -> None:
    process = start("trap 'echo interrupted; exit 5' INT; printf READY; echo; while :; do sleep 0.05; done")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == b"interrupted\n"
    assert process.wait(20) == 5


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
