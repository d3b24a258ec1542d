"""What lives as long as the session."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.session.exit_guard import ExitGuard
from pytest_arena.session.loss_guard import LossGuard
from pytest_arena.session.synthetic_reports import Line
from pytest_arena.simulators.pool import EnvironmentPool


@dataclass
class Run:
    """What lives as long as the session."""

    directory: RunDirectory
    pool: EnvironmentPool = field(default_factory=EnvironmentPool)
    previous_sigterm: Any = None
    exit_guard: ExitGuard | None = None
    exit_status: int = int(pytest.ExitCode.INTERNAL_ERROR)
    """pytest's, once it is known: the app is told of it when it is closed, and may end the process."""
    written_status: int | None = None
    """The one in ``run.json``."""
    broken: BaseException | None = None
    """What was raised while the session finished: an app that ends the process would swallow it."""
    guard: LossGuard | None = None
    """Not in a worker."""
    lost: list[str] = field(default_factory=list)
    """Tests that never ran, though nobody stopped the session."""
    unmeasured: list[str] = field(default_factory=list)
    """Tests that passed without a measurement, a line each."""
    suite: list[Line] = field(default_factory=list)
    """Verdicts over several jobs, in words."""
    verdicts: dict[str, Any] = field(default_factory=dict)
    """The same for ``run.json``."""
    unwritten: list[str] = field(default_factory=list)
    """Results that could not be written, a line each; with any, the session does not succeed."""
    failures: list[str] = field(default_factory=list)
    """Tracebacks of results that failed for another reason than the disk."""
    told: bool = False
    """Whether the summary has told what went wrong; some reporters have none."""
    ended: bool = False
    """The session's reports are written: a warning comes too late for them."""

    @contextlib.contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Make and write a result: one that cannot be written keeps those after it from nothing."""
        try:
            yield
        except OSError as error:
            line = f"{what} could not be written: {error.strerror or error}"
        except Exception as error:  # of a plugin, or our own
            line = f"{what} failed: {type(error).__name__}: {error}"
            self.failures.append("".join(traceback.format_exception(error)))
        else:
            return
        if line not in self.unwritten:
            self.unwritten.append(line)

    def troubles(self) -> list[str]:
        """Return in words what keeps the session from success, beside tests that failed."""
        tests = "1 test" if len(self.lost) == 1 else f"{len(self.lost)} tests"
        lost = [f"{tests} never ran to the end:", *(f"  {nodeid}" for nodeid in self.lost)]
        return [*(lost if self.lost else ()), *self.unmeasured, *self.unwritten, *self.failures]


RUN = pytest.StashKey[Run]()


def run_of(config: pytest.Config) -> Run:
    """Return the session's run."""
    return config.stash[RUN]
