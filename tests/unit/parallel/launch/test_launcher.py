"""What is said of a launcher that does not start a worker, and what is checked of one that does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import execnet
import pytest

from pytest_arena import RunDirectory
from pytest_arena.parallel.launch import launcher
from pytest_arena.parallel.launch.launcher import explanation, require_shared


def failure(reason: str, **facts: Any) -> dict[str, Any]:
    return {"reason": reason, "stdout": "", "stderr": "", **facts}


def test_a_failed_launcher_is_quoted() -> None:
    text = explanation(["env", "A=b c"], failure("ended", status=3, stderr="no quota\nask\n", stdout="hello"))
    assert text.splitlines() == [
        "--arena-launcher \"env 'A=b c'\": it ended with exit status 3 before a worker answered",
        "it printed on standard error:",
        "  no quota",
        "  ask",
        "it printed on standard output:",
        "  hello",
    ]


def test_silence_is_said_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ARENA_LAUNCH_TIMEOUT", "7")
    text = explanation(["slow"], failure("timeout"))
    assert "no worker answered within 7 s (PYTEST_ARENA_LAUNCH_TIMEOUT=SECONDS allows more)" in text
    assert text.endswith("it printed nothing; it must pass standard input and output on at once, unbuffered")


def test_what_could_not_be_started() -> None:
    text = explanation(["x"], failure("not started", error="Exec format error: 'x'"))
    assert text == "--arena-launcher 'x' cannot be started: Exec format error: 'x'"


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("srun -N1 -n1", "srun holds a worker's answer back without -u"),
        ("/opt/slurm/bin/srun", "/opt/slurm/bin/srun holds a worker's answer back without -u"),
        ("docker exec box", "docker closes a worker's standard input without -i"),
        ("kubectl exec pod --", "kubectl closes a worker's standard input without -i"),
        ("srun -N1 -u", None),
        ("srun --unbuffered", None),
        ("docker exec -ti box", None),
        ("kubectl exec --stdin=true pod --", None),
        ("ssh host", None),
    ],
)
def test_a_flag_that_is_missing_is_named(command: str, hint: str | None) -> None:
    lines = explanation(command.split(), failure("timeout")).splitlines()
    assert (hint in lines) if hint else not any("without" in line for line in lines)


@pytest.fixture(scope="module")
def gateway() -> Iterator[execnet.Gateway]:
    group = execnet.Group()
    yield group.makegateway("popen")
    group.terminate(1)


def node_of(gateway: Any, *, launched: bool = True) -> Any:
    plugins = SimpleNamespace(hasplugin=lambda name: launched)
    return SimpleNamespace(gateway=gateway, config=SimpleNamespace(pluginmanager=plugins))


@pytest.mark.process
def test_a_shared_directory_is_seen_and_left_as_it_was(gateway: execnet.Gateway, tmp_path: Path) -> None:
    require_shared(node_of(gateway), RunDirectory(tmp_path))
    assert list(tmp_path.iterdir()) == []


class Blind:
    """A gateway to a machine whose file of that name is another one, or none."""

    id = "gw3"

    def __init__(self, gateway: execnet.Gateway, there: str | None, path: Path) -> None:
        self.gateway, self.there, self.path = gateway, there, path

    def remote_exec(self, code: str) -> Any:
        (mark,) = self.path.iterdir()
        mark.unlink() if self.there is None else mark.write_text(self.there)
        return self.gateway.remote_exec(code)


@pytest.mark.parametrize("there", [None, "of another run"])
def test_a_directory_that_a_worker_cannot_see_is_refused(
    gateway: execnet.Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str | None
) -> None:
    monkeypatch.setattr(launcher, "TRIES", 1)
    blind = Blind(gateway, there, tmp_path)
    with pytest.raises(
        pytest.UsageError, match=r"worker gw3 on .* does not see the run's directory"
    ) as caught:
        require_shared(node_of(blind), RunDirectory(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_workers_without_a_launcher_are_not_asked(tmp_path: Path) -> None:
    require_shared(node_of(None, launched=False), RunDirectory(tmp_path / "missing"))
