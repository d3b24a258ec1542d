"""A server that is started with the run and ended with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_arena import EvaluationError
from pytest_arena.policies.servers import serve as module
from pytest_arena.policies.servers.serve import Serve, leave_server, local_server

pytestmark = pytest.mark.process
SERVER = """\
import http.server, os, signal, subprocess, sys
print("loading the model", flush=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open("pids", "a") as file:
    file.write(f"{os.getpid()} {child.pid}\\n")
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "broken" in sys.argv:
    print("CUDA out of memory", flush=True)
    sys.exit(7)

class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self):
        Handler.asked += 1
        known = self.path == "/healthz" and Handler.asked > 2
        self.send_response(200 if known else 503 if self.path == "/healthz" else 404)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("pytest_arena.policies.servers.serve_guard.GRACE_SECONDS", 2.0)
    Path("server.py").write_text(SERVER)
    yield
    leave_server()
    for pid in pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def serve(extra: str = "", **settings: object) -> Serve:
    return Serve.model_validate({"command": f"exec {sys.executable} server.py {{port}} {extra}", **settings})


def pids() -> list[int]:
    return [int(pid) for pid in Path("pids").read_text().split()] if Path("pids").exists() else []


def all_gone() -> bool:
    """Wait until none of the server's processes is left."""
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}/stat").exists() and not is_zombie(pid) for pid in pids()):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_it_is_ready_when_it_says_so_and_all_of_it_ends() -> None:
    server = local_server(serve(), None, "/healthz")
    assert server.is_running
    assert server.log.read_text().startswith("loading the model\n")
    assert server.identity["command"].startswith("exec")
    assert local_server(serve(), None, "/healthz") is server  # the next job uses it again
    leave_server()
    assert len(pids()) == 2
    assert all_gone()


def test_another_command_ends_the_one_before() -> None:
    first = local_server(serve(), None, None)
    second = local_server(serve("other"), None, None)
    assert not first.is_running
    assert second.is_running


def test_one_that_ends_is_an_error_with_its_last_words() -> None:
    with pytest.raises(
        EvaluationError, match=r"ended; the server has ended with the status 7(.|\n)*CUDA out of memory"
    ):
        local_server(serve("broken"), None, None)
    assert all_gone()


def test_one_that_is_never_ready_is_an_error_in_time() -> None:
    with pytest.raises(EvaluationError, match=r"is not ready after 0.3 s \(policy.serve.ready_timeout\)"):
        local_server(serve(ready_timeout=0.3, health="/never"), None, None)
    assert all_gone()


@pytest.mark.parametrize("per", ["worker", "run"])
def test_one_that_was_never_ready_is_not_waited_for_again(per: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each job, or each worker that shares it, would wait as long."""
    monkeypatch.setenv(module.RUN_VARIABLE, f"never-ready-{os.getpid()}")
    never = serve(ready_timeout=0.3, health="/never", per=per)
    with pytest.raises(EvaluationError, match="is not ready after"):
        local_server(never, None, None)
    started = pids()
    if per == "run":  # as in another worker
        module._not_ready.clear()
    with pytest.raises(EvaluationError, match="is not ready after"):
        local_server(never, None, None)
    assert pids() == started
    assert all_gone()


def test_a_server_without_such_a_path_is_ready_when_it_answers() -> None:
    assert local_server(serve(), None, "/health").is_running


def test_an_address_that_is_set_gives_the_port() -> None:
    port = module._free_port()
    assert local_server(serve(), f"ws://localhost:{port}", None).port == port


def test_one_that_died_is_started_again_for_the_next_job() -> None:
    first = local_server(serve(), None, None)
    os.kill(pids()[0], signal.SIGKILL)
    until = time.monotonic() + 30
    while first.is_running and time.monotonic() < until:
        time.sleep(0.05)
    assert "has ended with the status -9" in first.about()
    assert local_server(serve(), None, None).is_running
    assert len(pids()) == 4


def test_the_clients_packages_are_imported_when_a_policy_is_made() -> None:
    code = (
        "import sys; from pytest_arena.policies.servers import gr00t, openpi, vla_eval; print(*sys.modules)"
    )
    path = str(Path(module.__file__).parents[3])
    env = {**os.environ, "PYTHONPATH": path}
    found = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert not {"websockets", "msgpack", "zmq", "PIL"} & set(found.stdout.split())


def test_it_ends_with_its_guard() -> None:
    server = local_server(serve(), None, None)
    assert server._guard is not None
    server._guard.kill()
    server._guard.wait()
    assert not server.is_running
    until = time.monotonic() + 30
    while not is_zombie(pids()[0]) and time.monotonic() < until:
        time.sleep(0.05)
    assert is_zombie(pids()[0])
    assert local_server(serve(), None, None).is_running  # for the next job


USER = """\
import os, signal, sys, time
from pathlib import Path
from pytest_arena.policies.servers import serve_guard
from pytest_arena.policies.servers.serve import Serve, local_server
serve_guard.GRACE_SECONDS = 1.0
server = local_server(Serve(command=sys.argv[1], per=sys.argv[2]), None, None)
print(server.port, flush=True)
sys.stdin.readline()
"""


def user(per: str, extra: str = "") -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", USER, serve(extra).command, per],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, module.RUN_VARIABLE: "a-run", "PYTHONPATH": str(Path(module.__file__).parents[3])},
    )  # fmt: skip
    return started


def port_of(started: subprocess.Popen[str]) -> int:
    assert started.stdout is not None
    return int(started.stdout.readline())


def let_go(started: subprocess.Popen[str]) -> None:
    started.communicate("\n", timeout=60)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_a_process_that_is_killed(end: int) -> None:
    one = user("worker", "stubborn" if end == signal.SIGTERM else "")
    port_of(one)
    one.send_signal(end)
    one.wait(60)
    assert all_gone()
    assert len(pids()) == 2


def test_workers_of_a_run_share_one_and_the_last_one_ends_it() -> None:
    users = [user("run") for _ in range(3)]
    ports = {port_of(one) for one in users}
    assert len(ports) == 1
    assert len(pids()) == 2
    for one in users[:2]:  # the one that started it is among them, or not
        let_go(one)
    assert not is_zombie(pids()[0])
    let_go(users[2])
    assert all_gone()


def test_workers_have_one_each_where_it_is_for_a_worker() -> None:
    users = [user("worker") for _ in range(2)]
    assert len({port_of(one) for one in users}) == 2
    for one in users:
        let_go(one)
    assert all_gone()


def test_what_old_servers_left_is_removed(tmp_path: Path) -> None:
    """Not what another server still writes, or what somebody may yet want to read."""
    made = {name: tmp_path / f"{module.PREFIX}{name}" for name in ("old", "new", "runs")}
    for name, folder in made.items():
        folder.mkdir()
        (folder / "state.json").write_text("{}" if name == "runs" else '{"status": 0}')
        (folder / "server.log").touch()
        if name != "new":
            os.utime(folder / "server.log", (0, 0))
    local_server(serve(), None, "/healthz")
    assert [name for name, folder in made.items() if folder.exists()] == ["new", "runs"]
