"""The table of episodes: what is in it, what is left out, and what a broken file costs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_arena.records.schema import GateRecord, Outcome, ThresholdResult
from pytest_arena.reports.html.episode_lines import stored_episodes
from pytest_arena.reports.html.episode_rows import MOST_CAMERAS, MOST_METRICS, EpisodeTable
from pytest_arena.reports.html.films import Films
from pytest_arena.reports.html.render import render
from pytest_arena.reports.html.stored_job import StoredJob
from tests.unit.gate.samples import episode
from tests.unit.reports.html.page_jobs import stored


def table(job: StoredJob, **more: Any) -> EpisodeTable:
    return EpisodeTable(job, Films(job.path.parent), **more)


def rendered(made: EpisodeTable) -> str:
    return render("episodes.html", job=made.job, table=made)


def test_what_is_the_same_in_all_rows_is_said_once(tmp_path: Path) -> None:
    episodes = [episode(index, index > 0, return_=index / 3) for index in range(3)]
    made = table(stored(tmp_path, episodes))
    assert [column.head for column in made.columns] == ["return", "seed"]
    assert [(column.head, str(text)) for column, text in made.same] == [
        ("end reason", "time_out"),
        ("length", "10"),
        ("wall time", "0"),
        ("row", "0"),
        ("steps of the row", "0–9"),
    ]
    assert made.rows.splitlines() == [
        '<tr class="f" id="reach/episode-0"><th>0<td>failure<td>0<td>100',
        '<tr id="reach/episode-1"><th>1<td>success<td>0.33333<td>101',
        '<tr id="reach/episode-2"><th>2<td>success<td>0.66667<td>102',
    ]
    page = rendered(made)
    assert "<caption>2 success, 1 failure</caption>" in page
    assert "All episodes: " in page


def test_the_only_episode_has_all_that_it_has_in_its_row(tmp_path: Path) -> None:
    made = table(stored(tmp_path, [episode(0, time_to_success=7, metrics={"peak": 1.5, "score": None})]))
    heads = [column.head for column in made.columns]
    assert heads[:5] == ["end reason", "length", "return", "time to success", "peak"]
    assert "score" not in heads
    assert not made.same


def test_a_row_of_numbers_is_short(tmp_path: Path) -> None:
    long = [
        episode(
            90 + index,
            index % 3 > 0,
            seed=2**31 - 1 - index,
            env_idx=index,
            start_step=1000 + index,
            end_step=1199 + index,
            length=200 + index,
            return_=-123.456789 * (index + 1),
            end_reason=f"time_out{index % 2}",
            wall_time_seconds=1.2345 * (index + 1),
        )
        for index in range(4)
    ]
    rows = table(stored(tmp_path, long)).rows.splitlines()
    assert max(map(len, rows)) <= 125


def test_text_of_others_is_text(tmp_path: Path) -> None:
    hostile = '</noscript></script><img src=x onerror="x">&\u202e'
    episodes = [
        episode(0, end_reason=hostile, metrics={hostile: 1.0}, videos_note=hostile),
        episode(
            1, metrics={hostile: 2.0}, error=hostile, outcome=Outcome.ERROR, videos={hostile: "reach/a.mp4"}
        ),
    ]
    (tmp_path / "reach").mkdir()
    (tmp_path / "reach" / "a.mp4").write_bytes(b"film")
    page = rendered(table(stored(tmp_path, episodes)))
    assert hostile not in page
    assert "<img" not in page
    assert page.count("&lt;/noscript&gt;&lt;/script&gt;&lt;img src=x onerror=&#34;x&#34;&gt;&amp;\u202e") == 5


def test_films_files_and_notes_stand_in_a_last_column(tmp_path: Path) -> None:
    job = tmp_path / "reach"
    (job / "videos").mkdir(parents=True)
    for name in ("videos/a b.mp4", "e.rrd", "dataset.hdf5"):
        (job / name).write_bytes(b"film")
    place = "reach/dataset.hdf5#data/demo_"
    episodes = [
        episode(0, videos={"front": "reach/videos/a b.mp4", "side": "reach/none.mp4"}, rerun="reach/e.rrd"),
        episode(1, success_at_reset=True, videos_note="not what happened"),
    ]
    made = table(stored(tmp_path, episodes))
    first, second = made.rows.splitlines()
    assert '<video controls preload=none src="reach/videos/a%20b.mp4"></video><figcaption>front' in first
    assert '<a href="reach/e.rrd">' in first
    assert "none.mp4" not in first
    notes = "<p class=note>not what happened</p><p class=note>a success before its first step</p>"
    assert second.endswith(f"<td class=more>{notes}<td>101")
    assert made.notes == ["1 file is missing: reach/none.mp4"]
    cut_off = episode(2, outcome=Outcome.ERROR)
    told = table(stored(tmp_path, [*(episode(n, trajectory=f"{place}{n}") for n in (0, 1)), cut_off]))
    assert told.trajectories == "reach/dataset.hdf5"
    assert "trajectory" not in told.rows
    assert '<a href="reach/dataset.hdf5">reach/dataset.hdf5</a>' in rendered(told)
    odd = table(stored(tmp_path, [episode(index, trajectory=f"{place}7") for index in (0, 1)]))
    assert odd.trajectories is None
    assert odd.rows.count('<a href="reach/dataset.hdf5">trajectory</a> data/demo_7') == 2


@pytest.mark.parametrize(("filmed", "shown"), [(1, False), (2, True)])
def test_the_overview_is_there_where_it_shows_several_episodes(
    filmed: int, shown: bool, tmp_path: Path
) -> None:
    (tmp_path / "reach").mkdir()
    for name in ("overview.mp4", "overview.jpg", "a.mp4"):
        (tmp_path / "reach" / name).write_bytes(b"film")
    episodes = [
        episode(index, videos={"front": "reach/a.mp4"} if index < filmed else {}) for index in range(3)
    ]
    overview = {
        "film": "reach/overview.mp4",
        "poster": "reach/overview.jpg",
        "preview": "reach/overview.webp",
    }
    page = rendered(table(stored(tmp_path, episodes, overview=overview)))
    assert ('poster="reach/overview.jpg" src="reach/overview.mp4"' in page) == shown


def test_episodes_beyond_the_decision_are_marked(tmp_path: Path) -> None:
    gate = GateRecord("obrien_fleming", 10, 1, True, "fail", [], counted=2)
    made = table(stored(tmp_path, [episode(index) for index in range(3)], gate=gate))
    assert ["beyond" in row for row in made.rows.splitlines()] == [False, False, True]
    assert "Episodes from 2 on are beyond the gate" in rendered(made)
    gate.counted = 3
    assert table(stored(tmp_path, [episode(index) for index in range(3)], gate=gate)).beyond is None


@pytest.mark.parametrize(
    ("expression", "bounds"), [(">= 0.95", "0.95"), ("0.2..0.4", "0.2 0.4"), ("nonsense", "")]
)
def test_the_bound_of_the_success_rate_is_on_the_table(expression: str, bounds: str, tmp_path: Path) -> None:
    thresholds = [
        ThresholdResult("return", "> 3", None, False),
        ThresholdResult("success_rate", expression, 1.0, True),
    ]
    made = table(stored(tmp_path, [episode(0)], thresholds=thresholds))
    assert made.bounds == bounds
    assert (f'data-bounds="{bounds}"' in rendered(made)) == bool(bounds)


def test_the_command_is_there_once_with_the_first_failure(tmp_path: Path) -> None:
    job = stored(tmp_path, [episode(index, index != 2) for index in range(4)])
    page = rendered(table(job, command=("run <only>=[", "]")))
    assert '<code class="command">run &lt;only&gt;=[<var>2</var>]</code>' in page
    assert "No episode can be run again alone: dice decide." in rendered(table(job, command="dice decide"))


def test_a_broken_line_costs_a_note(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl"
    good = [json.dumps(episode(index).to_json()) for index in range(3)]
    lines = [good[1], "no json", good[0], '{"episode": 3}', good[1], "[]", "", "{}", good[2], good[2][:40]]
    path.write_text("\n".join(lines))
    episodes, notes = stored_episodes(path)
    assert [e.episode for e in episodes] == [0, 1, 2]
    numbers = [int(found[1]) for note in notes if (found := re.match(r"episodes\.jsonl, line (\d+): ", note))]
    assert numbers == [2, 4, 5, 6, 7]
    assert notes[2] == "episodes.jsonl, line 5: episode 1 once more; the first line of it is shown"
    assert notes[-1] == "episodes.jsonl: 2 more lines are left out"
    path.write_text(f"{good[0]}\n{good[1][:40]}")
    assert stored_episodes(path)[1] == ["episodes.jsonl, line 2: cut off; this episode is lost"]


def test_numbers_that_are_not_finite_have_empty_cells(tmp_path: Path) -> None:
    job = stored(
        tmp_path, [episode(0), episode(1, return_=2.0, wall_time_seconds=1.0, metrics={"peak": 3.0})]
    )
    lines = (job.path / "episodes.jsonl").read_text().splitlines()
    keys = ("return", "wall_time_seconds", "time_to_success", "max_reward")
    lines[0] = json.dumps({**json.loads(lines[0]), **dict.fromkeys(keys), "metrics": {"peak": None}})
    (job.path / "episodes.jsonl").write_text("\n".join(lines) + "\n")
    made = table(job)
    assert [column.head for column in made.columns] == ["return", "peak", "wall time", "seed"]
    assert made.rows.splitlines()[0].endswith("<td>success<td><td><td><td>100")


def test_a_line_that_is_too_long_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_arena.reports.html.episode_lines.LARGEST_LINE", 2000)
    path = tmp_path / "episodes.jsonl"
    good = [json.dumps(episode(index).to_json()) for index in range(2)]
    path.write_text(f"{good[0]}\n{'x' * 7000}\n{good[1]}\n")
    episodes, notes = stored_episodes(path)
    assert [e.episode for e in episodes] == [0, 1]
    assert len(notes) == 1
    assert notes[0].startswith("episodes.jsonl, line 2: expected at most ")


def test_a_file_that_cannot_be_read_costs_a_note(tmp_path: Path) -> None:
    job = stored(tmp_path, [], episodes={"measured": 2})
    (job.path / "episodes.jsonl").unlink()
    lost = "record.json counts 2 episodes, 0 can be shown"
    assert table(job).notes == ["episodes.jsonl is missing", lost]
    (job.path / "episodes.jsonl").mkdir()
    assert table(job).notes == ["episodes.jsonl cannot be read: expected a file, got a folder", lost]
    assert "No episode can be shown." in rendered(table(job))


def test_episodes_that_are_lost_are_told(tmp_path: Path) -> None:
    """Else a grid of three would stand below a rate over five."""
    counts = {"requested": 5, "measured": 3, "errors": 1, "beyond": 1}
    made = table(stored(tmp_path, [episode(index) for index in range(3)], episodes=counts))
    assert made.notes == ["record.json counts 5 episodes, 3 can be shown"]
    assert not table(stored(tmp_path, [episode(index) for index in range(5)], episodes=counts)).notes


def test_a_job_without_episodes_has_no_table(tmp_path: Path) -> None:
    made = table(stored(tmp_path, []))
    (tmp_path / "reach" / "episodes.jsonl").unlink()
    page = rendered(made)
    assert "<table" not in page
    assert not made.notes


def test_metrics_without_end_are_left_out(tmp_path: Path) -> None:
    many = {f"metric_{number}": float(number) for number in range(MOST_METRICS + 4)}
    made = table(stored(tmp_path, [episode(0, metrics=many)]))
    assert sum(column.key == "metric" for column in made.columns) == MOST_METRICS
    assert made.notes == [f"4 of {MOST_METRICS + 4} metrics are left out"]


def test_cameras_without_end_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    films = {f"camera {index}": "a.mp4" for index in range(MOST_CAMERAS + 3)}
    page = rendered(table(stored(tmp_path, [episode(0, videos=films)])))
    assert page.count("<video") == MOST_CAMERAS
    assert "films of 3 more cameras are left out" in page
