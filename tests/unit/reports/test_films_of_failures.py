"""The films and episodes that a reader of a failure wants to see."""

from __future__ import annotations

from pathlib import Path

from pytest_arena.reports.films_of_failures import films_to_show, missed_episodes
from tests.unit.gate.samples import episode
from tests.unit.reports.run_of_jobs import write_job


def test_missed_episodes_are_those_that_count_and_the_errors(tmp_path: Path) -> None:
    record = write_job(tmp_path, "job", [True, False, True, False], episodes_path="job/episodes.jsonl")
    assert [e.episode for e in missed_episodes(tmp_path, record)] == [1, 3]
    broken = [episode(0, False), episode(1, None, outcome="error", error="boom")]
    record = write_job(tmp_path, "cut", [], episodes=broken, episodes_path="cut/episodes.jsonl")
    assert [e.outcome for e in missed_episodes(tmp_path, record)] == ["failure", "error"]


def test_episodes_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    record = write_job(tmp_path, "job", [False], episodes_path="job/episodes.jsonl")
    (tmp_path / "job" / "episodes.jsonl").write_text("{}\n{}\n")
    assert missed_episodes(tmp_path, record) == []


def test_the_overview_comes_first_and_films_that_are_missing_are_left_out(tmp_path: Path) -> None:
    def film(index: int, success: bool) -> dict[str, str]:
        return {"front": f"job/{index}.mp4", "top": f"job/{index}-top.mp4"}

    episodes = [episode(k, k == 0, videos=film(k, k == 0)) for k in range(3)]
    record = write_job(tmp_path, "job", [], episodes=episodes, episodes_path="job/episodes.jsonl")
    for name in ("0.mp4", "1.mp4", "2.mp4", "2-top.mp4"):
        (tmp_path / "job" / name).touch()
    shown = [("episode 1, front", "1.mp4"), ("episode 2, front", "2.mp4"), ("episode 2, top", "2-top.mp4")]
    assert [(what, path.name) for what, path in films_to_show(tmp_path, record, 10)] == shown
    record.overview = {"film": "job/overview.mp4"}
    assert len(films_to_show(tmp_path, record, 2)) == 2
    (tmp_path / "job" / "overview.mp4").touch()
    assert [path.name for _, path in films_to_show(tmp_path, record, 2)] == ["overview.mp4", "1.mp4"]
