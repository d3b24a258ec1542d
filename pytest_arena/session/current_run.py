"""The run of this session: where its results go, its environments, and what keeps it from success."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.reports.reported_run import VerdictLine
from pytest_arena.simulators.pool import EnvironmentPool


@dataclass(eq=False)
class Run:
    """What everything that runs, reports or ends the jobs of this process has in common."""

    directory: RunDirectory
    pool: EnvironmentPool = field(default_factory=EnvironmentPool)
    lost: list[str] = field(default_factory=list)
    """Tests that never ran to the end, though nobody stopped the session."""
    unmeasured: list[str] = field(default_factory=list)
    """Tests that passed without a measurement, a line each."""
    suite: list[VerdictLine] = field(default_factory=list)
    """Verdicts over several jobs, in words."""
    unwritten: list[str] = field(default_factory=list)
    """Results that could not be written, a line each; with any, the session does not succeed."""
    failures: list[str] = field(default_factory=list)
    """Tracebacks of results that failed for another reason than the disk."""
    reports_written: bool = False
    """Whether the session's reports are written: a warning comes too late for them."""

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

    @contextlib.contextmanager
    def showing(self, what: str, command: str) -> Iterator[None]:
        """Show results that are on disk already: what cannot be shown is a line, and changes no status.

        Args:
            what: What is written, for the line.
            command: The subcommand that writes it too, and shows where it fails, with its arguments.
        """
        try:
            yield
        except OSError as error:
            line = f"{what} could not be written: {error.strerror or error}"
        except Exception as error:
            again = f"python -m pytest_arena {command} shows where"
            line = f"{what} could not be made: {type(error).__name__}: {error}; {again}"
        except KeyboardInterrupt:  # somebody does not want to wait for it
            line = f"{what} could not be made: interrupted; python -m pytest_arena {command} makes it"
        else:
            return
        if (line, None) not in self.suite:
            self.suite.append((line, None))

    def troubles(self) -> list[str]:
        """Return in words what keeps the session from success, beside tests that failed."""
        tests = "1 test" if len(self.lost) == 1 else f"{len(self.lost)} tests"
        lost = [f"{tests} never ran to the end:", *(f"  {nodeid}" for nodeid in self.lost)]
        return [*(lost if self.lost else ()), *self.unmeasured, *self.unwritten, *self.failures]


RUN = pytest.StashKey[Run]()


def run_of(config: pytest.Config) -> Run:
    """Return the session's run; there is one as soon as a test of a job is set up."""
    return config.stash[RUN]
