"""Stands between xdist and a launcher, so that a worker that does not start is told, with what was printed.

xdist waits for a new worker without a limit and sees nothing of the launcher's output. It therefore starts this
script in place of a Python: the relay runs the launcher, waits for the worker's answer until a deadline, and
passes bytes on from then on. Runs isolated, once a worker, on the controller's machine: standard library only.

usage: relay.py LAUNCH_FILE [what execnet adds, which is not used]
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

TAIL = 4000
"""Bytes of the launcher's output that a failure keeps."""
CHUNK = 1 << 16
PATIENCE = 2.0
"""Seconds for a process to end after SIGTERM, and for its last output."""
PR_SET_PDEATHSIG = 1


class Relay:
    """One launcher and the worker behind it."""

    def __init__(self, launch_file: Path) -> None:
        self._folder = launch_file.parent
        self._launch: dict[str, Any] = json.loads(launch_file.read_text(encoding="utf-8"))
        self._ready = str(self._launch["ready"]).encode()
        self._printed, self._complained = b"", b""
        self._controller_gone = False

    def run(self) -> NoReturn:
        """Start the launcher, wait for the worker, pass bytes on until one side ends."""
        self._start()
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, self._pass_signal)
        threads = [
            threading.Thread(target=work, daemon=True) for work in (self._pass_input, self._pass_errors)
        ]
        for thread in threads:
            thread.start()
        self._errors = threads[1]
        rest = self._await_worker()
        try:
            _write(1, rest)
            while data := os.read(self._output, CHUNK):
                _write(1, data)
        except OSError:  # the controller is gone
            self._stop()
        os._exit(self._status() or 0)

    def _start(self) -> None:
        libc = ctypes.CDLL(None)
        try:
            # A group of its own can be ended as a whole: a launcher may be a script with children.
            self._process = subprocess.Popen(
                self._launch["command"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                process_group=0,
                # xdist kills a worker that hangs, which is this process: the launcher must not outlive it.
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
            )
        except OSError as error:
            self._fail("not started", error=str(error))
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()

    def _await_worker(self) -> bytes:
        """Return what followed the worker's answer. Before it, launchers may print what they like."""
        end = time.monotonic() + self._launch["deadline"]
        while not self._controller_gone:
            left = end - time.monotonic()
            if left <= 0:
                self._fail("timeout")
            if not select.select([self._output], [], [], min(left, 0.5))[0]:
                continue
            data = os.read(self._output, CHUNK)
            if not data:
                self._fail("ended")
            before, found, after = (self._printed + data).partition(self._ready)
            if found:
                _write(2, before)
                return after
            self._printed = before[-TAIL:]
        self._stop()
        os._exit(1)

    def _pass_input(self) -> None:
        try:
            header = json.dumps({"directory": self._launch["directory"]}) + "\n"
            _write(self._input, header.encode())
            while data := os.read(0, CHUNK):
                _write(self._input, data)
            self._controller_gone = True
        except OSError:  # the launcher has ended
            pass
        assert self._process.stdin
        self._process.stdin.close()

    def _pass_errors(self) -> None:
        assert self._process.stderr
        descriptor = self._process.stderr.fileno()
        while data := os.read(descriptor, CHUNK):
            self._complained = (self._complained + data)[-TAIL:]
            _write(2, data)

    def _pass_signal(self, signum: int, frame: FrameType | None) -> None:
        self._signal_group(signum)

    def _signal_group(self, signum: int) -> None:
        try:
            os.killpg(self._process.pid, signum)
        except OSError:  # it has ended
            pass

    def _status(self) -> int | None:
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return None

    def _stop(self) -> None:
        self._signal_group(signal.SIGTERM)
        self._status()
        self._signal_group(signal.SIGKILL)

    def _fail(self, reason: str, **facts: Any) -> NoReturn:
        """Leave a report for the controller, end everything."""
        if reason == "ended":  # its status and last words come a moment after its output has closed
            facts["status"] = self._status()
            self._errors.join(PATIENCE)
        if reason != "not started":
            self._stop()
        report = {
            "reason": reason,
            "stdout": self._printed.decode(errors="replace"),
            "stderr": self._complained.decode(errors="replace"),
            **facts,
        }
        draft = self._folder / f"{os.getpid()}.draft"
        draft.write_text(json.dumps(report), encoding="utf-8")
        draft.rename(self._folder / f"failure-{os.getpid()}.json")
        os._exit(1)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


if __name__ == "__main__":
    Relay(Path(sys.argv[1])).run()
