"""What stands on top of a run's page: the verdict in a sentence, and what was run with what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pytest_arena.records.manifest import Manifest
from pytest_arena.reports.html.exit_reason import exit_reason, troubles
from pytest_arena.reports.html.jobs_table import Count, JobsTable
from pytest_arena.reports.html.suite_lines import SuiteLine, suite_lines
from pytest_arena.reports.html.verdict_sentence import GOOD, Sentence, SessionEnding, verdict_sentence
from pytest_arena.reports.html.words import clipped, duration, in_words, moment, typed


@dataclass(frozen=True)
class Fact:
    """One line of what was run with what."""

    name: str
    text: str
    is_command: bool = False


@dataclass(frozen=True)
class RunHead:
    """The top of the page."""

    title: str
    sentence: Sentence
    counts: Sequence[Count]
    exit: str
    """The exit status and why; may be empty."""
    troubles: Sequence[str]
    """What kept the session from success beside failed tests, a line each."""
    suite: Sequence[SuiteLine]
    """Verdicts over several jobs."""
    facts: Sequence[Fact]
    notes: Sequence[str]
    """What the reader should know, such as what could not be read, a line each."""

    @classmethod
    def of(
        cls,
        name: str,
        data: Mapping[str, object],
        manifest: Manifest,
        table: JobsTable,
        notes: Sequence[str],
    ) -> RunHead:
        """Return the top of a page.

        Args:
            name: Of the run directory.
            data: ``run.json`` as it is; empty where it cannot be read.
            manifest: What of it is sound.
            table: The table of jobs.
            notes: What the reader should know, such as what could not be read.

        Returns:
            The top.
        """
        told = [*notes]
        suite = suite_lines(data, table.jobs, told)
        ending = SessionEnding(
            ended=_has_ended(data, manifest),
            status=manifest.exit_status,
            suite_failed=any(line.good is False for line in suite),
        )
        failed = any(job.verdict not in GOOD for job in table.jobs)
        return cls(
            title=name,
            sentence=verdict_sentence(table.jobs, ending),
            counts=table.counts,
            exit=exit_reason(ending, jobs_failed=failed),
            troubles=troubles(manifest),
            suite=suite,
            facts=[*_facts(data, manifest)],
            notes=told,
        )


def _has_ended(data: Mapping[str, object], manifest: Manifest) -> bool:
    """Whether the session that worked on the run last has ended; an evaluation without pytest is none."""
    if not isinstance(data.get("exit_status"), int):
        return "groups" not in data
    ended = _time(data.get("finished_at"))
    begun = _time(manifest.resumed[-1].get("started_at")) if manifest.resumed else None
    return ended is None or begun is None or begun <= ended


def _time(value: object) -> datetime | None:
    return moment(value) if isinstance(value, str) else None


def _facts(data: Mapping[str, object], manifest: Manifest) -> Iterator[Fact]:
    if command := _command(data.get("command")):
        yield Fact("command", command, is_command=True)
    for session in manifest.resumed:
        begun = _time(session.get("started_at"))
        when = f"resumed {in_words(begun)}" if begun is not None else "resumed"
        yield Fact(when, _command(session.get("command")), is_command=True)
    yield from _when(data, manifest)
    if directory := data.get("working_directory"):
        yield Fact("directory", str(directory))
    if manifest.revision is not None:
        yield Fact("git revision", _revision(manifest.revision))
    machine = data.get("machine")
    if isinstance(machine, Mapping):
        yield Fact("machine", _machine(machine))
        yield Fact("GPU", _gpus(machine.get("gpus")))
    if manifest.versions:
        yield Fact("versions", ", ".join(f"{name} {found}" for name, found in manifest.versions.items()))


def _command(value: object) -> str:
    return typed([str(word) for word in value]) if isinstance(value, list) else ""


def _when(data: Mapping[str, object], manifest: Manifest) -> Iterator[Fact]:
    begun, ended = _time(data.get("started_at")), _time(data.get("finished_at"))
    if begun is not None:
        yield Fact("started", in_words(begun))
    last = _time(manifest.resumed[-1].get("started_at")) if manifest.resumed else begun
    if ended is not None and last is not None and ended >= last:
        what = "last session took" if manifest.resumed else "took"
        yield Fact(what, duration((ended - last).total_seconds()))


def _revision(revision: Mapping[str, object]) -> str:
    state = "with uncommitted changes" if revision.get("dirty") is True else "clean"
    return f"{clipped(str(revision.get('commit')))}, {state}"


def _machine(machine: Mapping[str, object]) -> str:
    cores = machine.get("cores")
    words = [machine.get("node"), machine.get("system"), machine.get("processor"), cores and f"{cores} cores"]
    return ", ".join(str(word) for word in words if word)


def _gpus(gpus: object) -> str:
    """Return the names and sizes of the GPUs, equal ones together."""
    lines = [str(line) for line in gpus] if isinstance(gpus, list) else []
    kinds = Counter(map(_without_serial_number, lines))
    return "; ".join(f"{n} × {kind}" if n > 1 else kind for kind, n in kinds.items()) or "none"


def _without_serial_number(gpu: str) -> str:
    return ", ".join(part for part in gpu.split(", ") if not part.startswith(("GPU-", "MIG-")))
