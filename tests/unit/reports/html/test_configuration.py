"""The configuration of a job as text: whole, valid YAML, and what differs from the defaults marked."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pytest_arena.reports.html.configuration import MOST_LINES, Line, configuration, configuration_text
from tests.jobs import make_job


def lines_of(overrides: list[str] | None = None, **changes: Any) -> list[Line]:
    return configuration(make_job("reach", **changes).config(), overrides or [])


def changed(lines: list[Line]) -> set[str]:
    return {line.text.strip() for line in lines if line.changed}


def test_what_differs_from_the_defaults_is_marked() -> None:
    lines = lines_of(environment={"id": "CartPole-v1", "num_envs": 4}, rollout={"episodes": 4})
    assert changed(lines) == {
        "simulator: gymnasium",
        "id: CartPole-v1",
        "num_envs: 4",
        "type: zero",
        "episodes: 4",
    }
    unchanged = {line.text.strip() for line in lines if not line.changed}
    assert {"environment:", "seed: 0", "rollout:", "rebuilds: 1"} <= unchanged
    assert not [line for line in lines if line.text.startswith(("success", "record"))], "as by default"


def test_what_the_defaults_do_not_have_is_marked_with_its_keys() -> None:
    lines = lines_of(
        environment={"id": "x", "cameras": {"front": {"width": 64}, "top": {}}, "options": {"a": {"b": [1]}}},
        policy={"type": "zero", "checkpoint": "a.pt", "device": None},
        gate={"episodes_max": 60},
        thresholds={"success_rate": ">= 0.5"},
        metrics={"speed": {"info": "v"}},
        tags=["smoke"],
    )
    marked = changed(lines)
    assert {"cameras:", "front:", "width: 64", "top: {width: 256, height: 256}", "gate:"} <= marked
    assert {"a:", "b: [1]", "checkpoint: a.pt", "device: null", "tags: [smoke]"} <= marked
    assert {'success_rate: ">= 0.5"', "speed:", "info: v"} <= marked
    assert not {"height: 256", "confidence: 0.95", "reduce: last"} & marked


def test_the_text_is_the_configuration() -> None:
    job = make_job(
        environment={"id": "yes", "options": {"on": "1:30", "text": "a: b # c", "deep": {"x": [1, {"y": None}]}}},
        policy={"type": "zero", "note": "two\nlines", "number": "1e3", "empty": {}},
        record={"video": "on"},
        language_instruction="push “it” – now",
    )  # fmt: skip
    config = job.config()
    read = yaml.safe_load("\n".join(line.text for line in configuration(config)))
    assert "name" not in read
    for key, value in config.items():
        if key not in ("name", "success"):
            assert without_empty(read.get(key, {})) == without_empty(value or {}), key


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: kept for key, below in value.items() if (kept := without_empty(below)) not in (None, {}, [])
        }
    return value


def test_what_the_command_line_has_set_says_so() -> None:
    overrides = [
        "environment.num_envs=4",
        "reach:rollout={episodes: 3}",
        "other:environment.seed=1",
        "nonsense",
    ]
    lines = lines_of(overrides, environment={"id": "x", "num_envs": 4}, rollout={"episodes": 3})
    assert {line.text.strip() for line in lines if line.from_command_line} == {
        "num_envs: 4",
        "rollout:",
        "episodes: 3",
        "rebuilds: 1",
        "shards: 1",
    }
    assert "<b>  id: x\n  num_envs: 4  # --arena-set\n</b>" in configuration_text(lines)


def test_text_of_others_is_escaped() -> None:
    text = configuration_text(lines_of(policy={"type": "zero", "</b><script>": "</pre><script>"}))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_a_configuration_of_another_version_is_shown() -> None:
    lines = configuration({"simulator": "x", "new": {"key": 1}, "success": {"new_key": 3}})
    assert [line.text for line in lines] == ["simulator: x", "new: {key: 1}", "success: {new_key: 3}"]


def test_long_ones_are_cut() -> None:
    options = {f"key_{number}": number for number in range(1000)}
    lines = lines_of(
        environment={"id": "x", "seeds": list(range(4)), "options": options},
        policy={"type": "zero", "text": "x" * 10_000},
    )
    assert len(lines) == MOST_LINES + 1
    assert lines[-1].text.endswith("more lines: see run.json")
    assert max(len(line.text) for line in lines) < 1100


@pytest.mark.parametrize(
    "value", ["true", "1.5", "0x1f", "", "- a", "x: y", "#a", "~", " a", "a ", "=", "ä", "2026-01-01"]
)
def test_text_that_looks_like_something_else_is_quoted(value: str) -> None:
    (line,) = [line for line in lines_of(policy={"type": "zero", "k": value}) if line.text.startswith("  k:")]
    assert yaml.safe_load(line.text) == {"k": value}
