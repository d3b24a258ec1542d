"""What becomes of the test of a job: it cannot pass without a verdict, and what ended it is on the record."""

from __future__ import annotations

import contextlib
import unittest
from typing import TYPE_CHECKING

import pytest

from pytest_arena.evaluation.dead_process import close_unclosed
from pytest_arena.records.attempt import Attempt
from pytest_arena.records.for_reports import scalars
from pytest_arena.records.schema import Status
from pytest_arena.session.current_run import run_of
from pytest_arena.session.item_attempt import ATTEMPT, RESULTS, attempt_of
from pytest_arena.session.job_items import JOB, LABEL, job_of

if TYPE_CHECKING:
    from pytest_arena.jobs.model import Job

_SKIPS = (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest)
"""How tests and fixtures say that a test is not to run."""


def require_verdict(item: pytest.Function) -> None:
    """No false green: a test that passed without running its job or asserting its thresholds fails."""
    if JOB not in item.stash:
        return
    attempt, label = item.stash.get(ATTEMPT, None), item.stash[LABEL]
    if attempt is not None and attempt.record.error is not None:
        what = f"{attempt.record.error['type']}: {attempt.record.error['message']}"
        pytest.fail(f"the test passed although its job {label!r} ended as an error: {what}", False)
    if attempt is None or not item.stash.get(RESULTS, []):
        pytest.fail(f"the test passed without running its job {label!r}: call arena_rollout()", False)
    for result in item.stash[RESULTS]:
        if not result.asserted:
            result.assert_thresholds()


def note_outcome(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Give a job that failed before its rollout a record, put scalars on JUnit, forget a finished attempt."""
    job = job_of(item)
    if job is None:
        return
    if call.excinfo is not None and call.when != "teardown":
        _note_exception(item, job, call.excinfo)
    if (call.when == "call" or call.excinfo is not None) and ATTEMPT in item.stash:
        properties = scalars(item.stash[ATTEMPT].record, job)
        item.user_properties[:] = [p for p in item.user_properties if not p[0].startswith("arena_")]
        item.user_properties.extend(properties)


def _note_exception(item: pytest.Item, job: Job, raised: pytest.ExceptionInfo[BaseException]) -> None:
    """Close the record of a job whose test ended before its rollout; a skipped test leaves none."""
    begun, run = item.stash.get(ATTEMPT, None), run_of(item.config)
    if begun is not None and begun.record.status != Status.RUNNING:
        return
    with run.writing(f"{item.stash[LABEL]}/record.json"):
        if raised.errisinstance(_SKIPS):
            if begun is not None:
                _forget_skipped(item, begun)
            return
        attempt = attempt_of(item, job)
        attempt.fail(raised.value)
    if ATTEMPT in item.stash:
        with run.writing(f"the hook pytest_arena_record of job {item.stash[LABEL]!r}"):
            record, run_dir = item.stash[ATTEMPT].record, run.directory.path
            item.config.hook.pytest_arena_record(config=item.config, record=record, run_dir=run_dir)


def _forget_skipped(item: pytest.Item, begun: Attempt) -> None:
    """Take away what a skipped test had begun; what a resumed run has measured stays, with a word of it."""
    if begun.directory.resumed:
        run = run_of(item.config).directory
        item.stash[ATTEMPT] = close_unclosed(run, begun.record, Status.INTERRUPTED, "the test was skipped")
        return
    begun.directory.record.unlink()
    with contextlib.suppress(OSError):  # a test may have put files of its own there
        begun.directory.path.rmdir()
    del item.stash[ATTEMPT]
