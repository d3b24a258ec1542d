"""What a session's exit status was, and why."""

from __future__ import annotations

from pytest_arena.records.manifest import Manifest
from pytest_arena.reports.html.verdict_sentence import SessionEnding

_MEANING = {
    0: "success",
    1: "tests failed",
    2: "interrupted",
    3: "results are missing, or pytest failed inside",
    4: "a wrong command line, job file, output directory or baseline",
    5: "no test was selected",
}
"""Exit status -> what pytest means by it, and the plugin."""


def exit_reason(ending: SessionEnding, *, jobs_failed: bool) -> str:
    """Return one line: the exit status, and why it is that one.

    Args:
        ending: How its session ended.
        jobs_failed: Whether some job is no success.

    Returns:
        The line; empty where there is no exit status: the verdict on the run says so.
    """
    status = ending.status
    if status is None:
        return ""
    if not ending.ended:
        return f"Exit status {status} is that of the session before the last one"
    meaning = _MEANING.get(status, "of a process that a signal, a simulator or another plugin ended")
    if status == 1 and not jobs_failed:
        meaning = "a test failed for another reason than its job's verdict"
        if ending.suite_failed:
            meaning = "a verdict over several jobs failed"
    return f"Exit status {status}: {meaning}"


def troubles(manifest: Manifest) -> list[str]:
    """Return what kept the session from success, beside tests that failed, a line each."""
    lost = manifest.never_ran
    if manifest.troubles or not lost:
        return manifest.troubles
    # Version 0.1 wrote only what never ran.
    tests = "1 test" if len(lost) == 1 else f"{len(lost)} tests"
    return [f"{tests} never ran to the end:", *(f"  {nodeid}" for nodeid in lost)]
