"""One job's part of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from pytest_arena.comparison.describe import describe_comparison
from pytest_arena.jobs.threshold import Threshold
from pytest_arena.records.episode_command import command_parts, why_not_alone
from pytest_arena.records.schema import (
    Comparison,
    ComparisonVerdict,
    GateRecord,
    JobRecord,
    RateTest,
    Status,
    ThresholdResult,
)
from pytest_arena.reports.html.baseline_films import baseline_page, films_of_both
from pytest_arena.reports.html.configuration import Line, configuration, configuration_text
from pytest_arena.reports.html.episode_rows import EpisodeTable
from pytest_arena.reports.html.films import Films
from pytest_arena.reports.html.gate_picture import gate_picture
from pytest_arena.reports.html.job_facts import facts, files, identity, relations
from pytest_arena.reports.html.metrics_table import metric_rows, reported_lines
from pytest_arena.reports.html.parts import part
from pytest_arena.reports.html.rate_axis import rate_picture
from pytest_arena.reports.html.render import environment, render
from pytest_arena.reports.html.stored_job import StoredJob
from pytest_arena.reports.html.timings_bar import policy_cost, seconds, spent, timings_bar, total

LONGEST_TRACEBACK = 12_000
"""Characters: its end is what matters, and record.json has the whole."""


def job_section(job: StoredJob, films: Films, run: Mapping[str, Any]) -> str:
    """Return the ``<section>`` of *job*; its episodes are read while it is made.

    Args:
        job: The attempt.
        films: Where the page finds films.
        run: ``run.json`` as it is.

    Returns:
        HTML. What belongs to the job stands in a ``<noscript>``: see ``scripts/view.js``.
    """
    episodes = part("The table of episodes", lambda: _episodes(job, films, run))
    return render("job.html", job=job, above=_above(job), episodes=episodes, below=_below(job))


def _episodes(job: StoredJob, films: Films, run: Mapping[str, Any]) -> str:
    table = EpisodeTable(job, films, _command(job, run))
    return render("episodes.html", job=job, record=job.record, table=table)


def _command(job: StoredJob, run: Mapping[str, Any]) -> tuple[str, str] | str:
    """Return what stands before and behind an episode's index in its command, or why it has none."""
    if job.record is None:
        return "the job has no record"
    return command_parts(run, job.record) or why_not_alone(run, job.record) or ""


def _above(job: StoredJob) -> Iterator[Markup]:
    """Yield what stands above the episodes: what must be known first."""
    yield part(
        "What was evaluated",
        lambda: _html("facts", facts=facts(job), files=files(job), relations=relations(job)),
    )
    notes = [*job.notes, *(job.record.notes if job.record is not None else ())]
    yield part("The error", lambda: _html("trouble", error=_error(job.record), notes=notes))
    if (record := job.record) is None:
        return
    if record.thresholds:
        yield part("The thresholds", lambda: _thresholds(record))
    if (gate := record.gate) is not None and gate.tests:
        yield part("The gate", lambda: _gate(gate))
    if (comparison := record.comparison) is not None:
        yield part("The comparison", lambda: _comparison(job, comparison))


def _below(job: StoredJob) -> Iterator[Markup]:
    """Yield what stands below the episodes: where the numbers came from."""
    if (record := job.record) is not None:
        yield part(
            "The metrics",
            lambda: _html("metrics", rows=metric_rows(record), reported=reported_lines(record.reported)),
        )
        yield part("The timings", lambda: _timings(record, job.entry.config))
    yield part("The identity", lambda: _html("identity", lines=identity(job)))
    if job.entry.config:
        yield part("The configuration", lambda: _configuration(job))


def _html(name: str, **values: Any) -> str:
    """Return the HTML of the macro *name* of ``job_parts.html``."""
    macro = getattr(environment().get_template("job_parts.html").module, name)
    return str(macro(**values))


def _error(record: JobRecord | None) -> dict[str, str] | None:
    """Return the error of *record* with a traceback that has a bounded length."""
    if record is None or record.error is None:
        return None
    trace = record.error.get("traceback", "")
    if len(trace) > LONGEST_TRACEBACK:
        trace = f"… its beginning is in record.json …\n{trace[-LONGEST_TRACEBACK:].partition(chr(10))[2]}"
    return {
        "type": record.error.get("type", "error"),
        "message": record.error.get("message", ""),
        "traceback": trace,
    }


def _thresholds(record: JobRecord) -> str:
    from pytest_arena.gate.describe import describe_threshold  # scipy, which few jobs need

    lines = [(describe_threshold(t, fixed=record.fixed), _picture(t)) for t in record.thresholds]
    return _html("thresholds", lines=lines, judged=record.status == Status.COMPLETED)


def _picture(threshold: ThresholdResult) -> Markup:
    """Return the picture of a rate; of other thresholds an empty text."""
    value, interval = threshold.value, threshold.interval
    if value is None or interval is None:
        return Markup()
    return part("Its picture", lambda: rate_picture(value, interval, Threshold.parse(threshold.expression)))


def _gate(gate: GateRecord) -> str:
    return _html("gate", tests=[_test(gate, test) for test in gate.tests])


def _test(gate: GateRecord, test: RateTest) -> tuple[Markup, Markup]:
    """Return the words and the picture of one of the gate's tests."""
    from pytest_arena.gate.describe import describe_rate_test

    words = part("The test in words", lambda: _html("words", text=describe_rate_test(gate, test)))
    return words, part("The gate's picture", lambda: gate_picture(test))


def _comparison(job: StoredJob, comparison: Comparison) -> str:
    if comparison.verdict is ComparisonVerdict.NOT_JUDGED:
        reason = f"The regression of {comparison.metric} is not judged: {comparison.reason}"
        return _html("comparison", comparison=comparison, words=[reason], page=None, table="")
    words = [line.strip() for line in describe_comparison(comparison).splitlines()]
    address = f"#{job.folder}/episode-"
    table = part("The table of pairs", lambda: _html("pairs", comparison=comparison, address=address))
    table += part("The films of both runs", lambda: _films(job))
    return _html("comparison", comparison=comparison, words=words, page=baseline_page(job), table=table)


def _films(job: StoredJob) -> str:
    pairs, left, notes = films_of_both(job)
    return _html("films", pairs=pairs, left=left, notes=notes)


def _timings(record: JobRecord, config: Mapping[str, Any]) -> str:
    rebuilt = (config.get("rollout") or {}).get("rebuilds", 1) != 1
    parts = spent(record.timings, rebuilt=rebuilt)
    cost = "; ".join(policy_cost(record.inference, record.timings))
    return _html(
        "timings",
        parts=[(one.name, one.shade, seconds(one.seconds)) for one in parts],
        bar=timings_bar(parts) if parts else "",
        total=total(record.timings),
        cost=f"{cost[:1].upper()}{cost[1:]}",
    )


def _configuration(job: StoredJob) -> str:
    lines = configuration(job.entry.config, job.overrides)
    if job.video is not None:
        lines.append(Line(f"# --arena-video {job.video}, whatever record.video says", changed=True))
    return _html("configuration", text=configuration_text(lines))
