"""What IsaacLab-Arena's own recorder says of an episode: a line of JSON, written as the episode ends.

Its file is kept beside our records: a job may replay the variations in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OWN_KEYS = ("job_name", "env_id", "episode_in_env", "seed", "success", "episode_length", "timestamp")
"""What an episode's line of ours says already, in its own words."""
_CRITERIA = ("criteria_by_name", "objectives")
"""The scores by name, as this version calls them and as older ones do."""


class EpisodeRecords:
    """Reads the records of one environment as they are written."""

    def __init__(self, recorder: Any, job_name: str) -> None:
        """Take Arena's *recorder* of episodes; None where this Arena has none."""
        self._recorder, self._job_name = recorder, job_name
        self._path: Path | None = None
        self._read_to = 0
        self._waiting: dict[tuple[int, int | None], dict[str, Any]] = {}
        self._ended: dict[int, int] = {}
        """Row -> episodes that have ended in it: Arena numbers them so."""

    def open(self, directory: Path) -> None:
        """Have the records written to a new file in *directory*, named as Arena's runner names it."""
        if self._recorder is None:
            return
        number = 0
        while (path := directory / f"episode_results_rebuild{number}.jsonl").exists():
            number += 1
        self._recorder.set_job_name(self._job_name)
        self._recorder.set_output_path(path)  # makes the file
        self._path, self._read_to = path, 0

    def of_episode(self, row: int) -> dict[str, Any]:
        """Return what was recorded of the episode of *row* that has just ended, without `OWN_KEYS`."""
        if self._path is None:
            return {}
        self._read()
        number = self._ended.get(row, 0)
        self._ended[row] = number + 1
        found = self._waiting.pop((row, number), None) or self._waiting.pop((row, None), {})
        return {key: value for key, value in found.items() if key not in OWN_KEYS and value is not None}

    def _read(self) -> None:
        assert self._path is not None, "opened"
        with self._path.open(encoding="utf-8") as file:
            file.seek(self._read_to)
            text = file.read()
            self._read_to = file.tell()
        for line in text.splitlines():
            record = json.loads(line, parse_constant=lambda _: None)  # NaN is no JSON
            if isinstance(record.get("env_id"), int):
                self._waiting[record["env_id"], record.get("episode_in_env")] = record


def scores(details: Mapping[str, Any], above: str = "") -> dict[str, float | None]:
    """Return the progress scores in *details*: ``progress.score`` and ``progress.score.<criterion>``.

    Those of subtasks stand below the subtask's name.
    """
    found: dict[str, float | None] = {}
    for key, value in details.items():
        if not isinstance(value, Mapping):
            continue
        name = f"{above}{key}"
        if "overall_score" not in value:
            found.update(scores(value, f"{name}."))
            continue
        found[f"{name}.score"] = _number(value["overall_score"])
        for criteria in (value[held] for held in _CRITERIA if isinstance(value.get(held), Mapping)):
            for criterion, state in criteria.items():
                if isinstance(state, Mapping) and "score" in state:
                    found[f"{name}.score.{criterion}"] = _number(state["score"])
    return found


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
