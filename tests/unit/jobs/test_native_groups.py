"""``groups`` of a native job file."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from pytest_arena import JobFileError
from pytest_arena.jobs.loader import load_file
from pytest_arena.jobs.schema import job_file_schema

JOBS = """
jobs:
  reach: {{simulator: s, environment: {{id: e}}, policy: {{type: p}}, rollout: {{episodes: 2}}, tags: [easy, arm]}}
  push: {{simulator: s, environment: {{id: e}}, policy: {{type: p}}, rollout: {{episodes: 2}}, tags: [easy]}}
groups:
  {groups}
"""


def write(tmp_path: Path, groups: str) -> Path:
    file = tmp_path / "jobs.yaml"
    file.write_text(JOBS.format(groups=groups))
    return file


def test_groups_are_thresholds_of_a_tag(tmp_path: Path) -> None:
    file = write(tmp_path, 'easy: {success_rate: ">= 0.9", return: "> 3"}')
    loaded = load_file(file)
    (group,) = loaded.groups
    assert (group.tag, dict(group.thresholds)) == ("easy", {"success_rate": ">= 0.9", "return": "> 3"})
    assert [job.name for job in group.members(loaded.jobs)] == ["reach", "push"]
    assert str(group.problem("return", "wrong")).endswith("jobs.yaml:6: groups.easy.return: wrong")
    jsonschema.validate(yaml.safe_load(file.read_text()), job_file_schema())


@pytest.mark.parametrize("groups", ["null", "{}"])
def test_no_groups(tmp_path: Path, groups: str) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text(JOBS.format(groups="").replace("groups:\n", f"groups: {groups}\n"))
    assert load_file(file).groups == []


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ("- easy", "jobs.yaml:5: groups: expected a mapping of tag to thresholds, got a list"),
        (
            "eazy: {return: '> 3'}",
            "groups.eazy: no job of this file has the tag 'eazy' (did you mean 'easy'?)",
        ),
        ("easy: 3", "jobs.yaml:6: groups.easy: expected a mapping of metric to threshold, got 3"),
        ("easy: {}", "groups.easy: expected a mapping of metric to threshold, got an empty mapping"),
        ("easy: {return: 3}", 'groups.easy.return: expected a string such as ">= 0.9", got 3'),
        ("easy: null", "groups.easy: expected a mapping of metric to threshold, got null"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, groups: str, words: str) -> None:
    with pytest.raises(JobFileError) as raised:
        load_file(write(tmp_path, groups))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
