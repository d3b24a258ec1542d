"""The table of a job's episodes: a row each, as short as it can be, for a page may have 100,000."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain, islice, repeat

from markupsafe import Markup, escape

from pytest_arena.records.schema import Episode, Outcome
from pytest_arena.reports.html.episode_lines import stored_episodes
from pytest_arena.reports.html.films import Films
from pytest_arena.reports.html.rate_axis import rate_threshold
from pytest_arena.reports.html.stored_job import StoredJob

MOST_METRICS = 30
"""Columns of metrics; of a record with more, which somebody else has written, the others are left out."""
MOST_CAMERAS = 24
"""Films of an episode: a browser that loads thousands at once answers no more."""
_FIRST_FAILED = (Outcome.ERROR, Outcome.FAILURE, Outcome.UNKNOWN, Outcome.SUCCESS)


@dataclass(frozen=True)
class Column:
    """One column of the table."""

    key: str
    """What the page's script knows it by; of a metric ``metric``."""
    head: str
    text: Callable[[Episode], str]
    unit: str = ""
    is_technical: bool = False
    """Whether it stands behind the films and notes, for those who look for it."""


@dataclass
class EpisodeTable:
    """A job's episodes, for the template. They are read when it asks for them."""

    job: StoredJob
    films: Films
    command: tuple[str, str] | str = ""
    """What stands before and behind an episode's index in its command, or why it has none."""
    _notes: list[str] = field(default_factory=list)

    @cached_property
    def episodes(self) -> Sequence[Episode]:
        """The episodes in their order, each index once."""
        record = self.job.record
        if not (self.job.path / "episodes.jsonl").exists() and not (record and any(record.episodes.values())):
            return []  # none has been begun
        found, notes = stored_episodes(self.job.path / "episodes.jsonl")
        self._notes += notes
        if len(found) < self.finished:
            self._notes.append(f"record.json counts {self.finished} episodes, {len(found)} can be shown")
        return found

    @property
    def finished(self) -> int:
        """How many episodes have finished, as far as the record knows."""
        counts = self.job.record.episodes if self.job.record is not None else {}
        return sum(counts.get(key, 0) for key in ("measured", "errors", "beyond"))

    @cached_property
    def counts(self) -> list[tuple[str, int]]:
        """How many episodes there are of each outcome that there is."""
        found = [episode.outcome for episode in self.episodes]
        return [(str(outcome), found.count(outcome)) for outcome in Outcome if outcome in found]

    @cached_property
    def beyond(self) -> int | None:
        """The first episode that the gate did not read, where there is such a one."""
        gate = self.job.record.gate if self.job.record is not None else None
        limit = gate.counted if gate is not None else None
        return limit if limit is not None and any(e.episode >= limit for e in self.episodes) else None

    @property
    def first_failed(self) -> int:
        """Index of the episode that a reader would run again first."""
        return min(self.episodes, key=lambda e: (_FIRST_FAILED.index(e.outcome), e.episode)).episode

    @property
    def bounds(self) -> str:
        """The bounds of the threshold of the success rate, as numbers with a space between; else empty."""
        accepted = rate_threshold(self.job.record.thresholds) if self.job.record is not None else None
        if accepted is None:
            return ""
        return " ".join(f"{b:g}" for b in (accepted.low, accepted.high) if 0 <= b <= 1)

    @property
    def columns(self) -> list[Column]:
        """The columns whose values differ, beside that of the outcome."""
        return self._cells[0]

    @property
    def same(self) -> list[tuple[Column, Markup]]:
        """The columns that have one value in all rows, and the value as HTML."""
        return self._cells[1]

    @cached_property
    def _cells(self) -> tuple[list[Column], list[tuple[Column, Markup]], list[tuple[Column, list[str]]]]:
        """Return `columns`, `same`, and the cells of each of the columns."""
        columns = list[Column]()
        same = list[tuple[Column, Markup]]()
        cells = list[tuple[Column, list[str]]]()
        if not self.episodes:
            return columns, same, cells
        for column in _columns(self._metrics, any(e.rebuild for e in self.episodes)):
            texts = [f"<td>{column.text(episode)}" for episode in self.episodes]
            if texts.count(texts[0]) < len(texts) or (len(texts) == 1 and texts != ["<td>"]):
                columns.append(column)
                cells.append((column, texts))
            elif texts[0] != "<td>":
                same.append((column, Markup(texts[0].removeprefix("<td>"))))
        return columns, same, cells

    @cached_property
    def _metrics(self) -> dict[str, str]:
        """Metric beside the standard ones -> its unit."""
        names = list(dict.fromkeys(chain.from_iterable(episode.metrics for episode in self.episodes)))
        if len(names) > MOST_METRICS:
            self._notes.append(f"{len(names) - MOST_METRICS} of {len(names)} metrics are left out")
        known = self.job.record.definitions if self.job.record is not None else {}
        return {name: known.get(name, {}).get("unit", "") for name in names[:MOST_METRICS]}

    @cached_property
    def trajectories(self) -> str | None:
        """The file in which every episode has its trajectory at the place of its index; None if not so."""
        found = {
            e.trajectory.removesuffix(f"#data/demo_{e.episode}") if e.trajectory else None
            for e in self.episodes
            if e.trajectory or e.outcome != Outcome.ERROR  # which has none
        }
        path = found.pop() if len(found) == 1 else None
        return path if path is not None and "#" not in path else None

    @cached_property
    def overview(self) -> tuple[str, str | None] | None:
        """URLs of the films side by side, and of its poster; None without such a film of several episodes."""
        if self.job.record is None or sum(bool(e.videos) for e in self.episodes) < 2:
            return None
        files = self.job.record.overview
        film = self.films.source(files["film"]) if "film" in files else None
        poster = self.films.source(files["poster"]) if "poster" in files else None
        return (film, poster) if film is not None else None

    @cached_property
    def trajectories_source(self) -> str | None:
        """URL of the file `trajectories`."""
        return self.films.source(self.trajectories) if self.trajectories is not None else None

    @cached_property
    def rows(self) -> Markup:
        """The rows, as HTML."""
        more = [f"<td class=more>{text}" if text else "<td>" for text in self._more]
        cells = [
            *(texts for column, texts in self._cells[2] if not column.is_technical),
            *([more] if self.has_more else []),
            *(texts for column, texts in self._cells[2] if column.is_technical),
        ]
        joined = map("".join, zip(*cells, strict=True)) if cells else repeat("")
        return Markup("".join(map(self._row, self.episodes, joined)))

    @property
    def has_more(self) -> bool:
        """Whether a row has films, files or notes, which have a column where there are such."""
        return any(self._more)

    @cached_property
    def _more(self) -> list[str]:
        return ["".join(self._films_and_notes(episode)) for episode in self.episodes]

    @cached_property
    def notes(self) -> list[str]:
        """What is not shown, a line each."""
        _ = self.episodes, self.rows, self.overview, self.trajectories_source
        return [*self._notes, *self.films.take_notes()]

    def _row(self, e: Episode, cells: str) -> str:
        # Bytes count: closing tags may be left out, and successes, which are the most, have no class.
        kinds = [e.outcome[0]] if e.outcome != Outcome.SUCCESS else []
        if self.beyond is not None and e.episode >= self.beyond:
            kinds.append("beyond")
        kind = f' class="{" ".join(kinds)}"' if kinds else ""
        return f'<tr{kind} id="{self._id}{e.episode}"><th>{e.episode}<td>{e.outcome}{cells}\n'

    @cached_property
    def _id(self) -> str:
        return escape(f"{self.job.folder}/episode-")

    def _films_and_notes(self, e: Episode) -> Iterator[str]:
        """Yield what few episodes have: films, files and notes."""
        for camera, path in islice(e.videos.items(), MOST_CAMERAS):
            if (source := self.films.source(path)) is not None:
                yield f'<figure><video controls preload=none src="{source}"></video>'
                yield f"<figcaption>{escape(camera)}</figcaption></figure>"
        if (more := len(e.videos) - MOST_CAMERAS) > 0:
            yield f"<p class=note>films of {more} more cameras are left out</p>"
        if e.videos_note:
            yield f"<p class=note>{escape(e.videos_note)}</p>"
        if e.success_at_reset:
            yield "<p class=note>a success before its first step</p>"
        if e.error:
            yield f"<pre>{escape(e.error)}</pre>"
        if e.rerun and (source := self.films.source(e.rerun)) is not None:
            yield f'<a href="{source}">recording for the Rerun viewer</a> '
        if e.trajectory and self.trajectories is None:
            path, _, place = e.trajectory.partition("#")
            if (source := self.films.source(path)) is not None:
                yield f'<a href="{source}">trajectory</a> {escape(place)}'


def _columns(metrics: Mapping[str, str], rebuilt: bool) -> Iterator[Column]:
    yield Column("reason", "end reason", lambda e: escape(e.end_reason))
    yield Column("length", "length", lambda e: str(e.length), "steps")
    yield Column("return", "return", lambda e: _number(e.return_))
    yield Column("time", "time to success", lambda e: _number(e.time_to_success), "steps")
    for name, unit in metrics.items():
        yield Column("metric", name, partial(_metric, name), unit)
    yield Column("seconds", "wall time", lambda e: _number(e.wall_time_seconds, 3), "s", is_technical=True)
    yield Column("seed", "seed", lambda e: _number(e.seed), is_technical=True)
    if rebuilt:
        yield Column("rebuild", "rebuild", lambda e: str(e.rebuild), is_technical=True)
    yield Column("row", "row", lambda e: str(e.env_idx), is_technical=True)
    yield Column("steps", "steps of the row", lambda e: f"{e.start_step}–{e.end_step}", is_technical=True)


def _metric(name: str, episode: Episode) -> str:
    return _number(episode.metrics.get(name))


def _number(value: float | None, digits: int = 5) -> str:
    if value is None:  # not measured, or not finite: files have null for both
        return ""
    return str(value) if isinstance(value, int) else f"{value:.{digits}g}"
