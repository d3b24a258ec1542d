"""``groups`` of a native job file."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from pytest_arena.jobs.editor_schema import job_file_schema
from pytest_arena.jobs.loader import load_file

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
