"""What is read of Arena's own lines of episodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_arena.simulators.isaaclab_arena.episodes import EpisodeRecords, scores


class Recorder:
    """Arena's recorder, with lines that a test writes."""

    def __init__(self) -> None:
        self.path = Path()
        self.name = ""

    def set_job_name(self, job_name: str) -> None:
        self.name = job_name

    def set_output_path(self, output_path: Path) -> None:
        self.path = output_path
        output_path.write_text("")

    def write(self, *lines: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


def opened(folder: Path) -> tuple[Recorder, EpisodeRecords]:
    recorder = Recorder()
    records = EpisodeRecords(recorder, "reach")
    records.open(folder)
    return recorder, records


def test_a_line_belongs_to_the_episode_that_it_names(tmp_path: Path) -> None:
    recorder, records = opened(tmp_path)
    recorder.write(
        {"env_id": 1, "episode_in_env": 0, "success": True, "a": 1},
        {"env_id": 0, "episode_in_env": 0, "a": 2},
    )
    assert (records.of_episode(0), records.of_episode(1)) == ({"a": 2}, {"a": 1})
    assert records.of_episode(0) == {}  # its line comes late: it is no other episode's
    recorder.write({"env_id": 0, "episode_in_env": 1, "a": 3}, {"env_id": 0, "episode_in_env": 2, "a": 4})
    assert records.of_episode(0) == {"a": 4}


def test_lines_without_a_number_are_the_rows_latest(tmp_path: Path) -> None:
    recorder, records = opened(tmp_path)
    for value in (1.5, float("nan")):
        recorder.write({"env_id": 2, "a": value, "b": None}, {"c": "no row"})
        assert records.of_episode(2) == ({"a": value} if value == 1.5 else {})


def test_an_earlier_file_is_left_alone(tmp_path: Path) -> None:
    recorder, _ = opened(tmp_path)
    recorder.write({"env_id": 0})
    again, _ = opened(tmp_path)
    assert (recorder.path.name, again.path.name) == (
        "episode_results_rebuild0.jsonl",
        "episode_results_rebuild1.jsonl",
    )
    assert recorder.path.read_text()
    assert again.name == "reach"


def test_an_arena_without_such_a_recorder_says_nothing(tmp_path: Path) -> None:
    records = EpisodeRecords(None, "reach")
    records.open(tmp_path)
    assert records.of_episode(0) == {}
    assert not list(tmp_path.iterdir())


def test_scores_of_both_wordings_and_of_subtasks() -> None:
    details = {
        "progress": {"overall_score": 0.5, "criteria_by_name": {"lifted": {"score": 1}, "odd": 3}},
        "subtask_0": {"progress": {"overall_score": None, "objectives": {"placed": {"score": 0.25}}}},
        "variations": {"light.intensity": 3.0},
    }
    assert scores(details) == {
        "progress.score": 0.5,
        "progress.score.lifted": 1.0,
        "subtask_0.progress.score": None,
        "subtask_0.progress.score.placed": 0.25,
    }
