from __future__ import annotations

import pytest

from pytest_arena.errors import JobFileError
from pytest_arena.validation import validate
from tests.jobs import make_job


def test_films_of_environments_that_there_are_not() -> None:
    environment = {"id": "CartPole-v1", "num_envs": 4}
    validate(make_job(environment=environment, record={"video_environments": [0, 3]}))
    with pytest.raises(JobFileError, match=r"record.video_environments: expected numbers from 0 to 3, got 4"):
        validate(make_job(environment=environment, record={"video_environments": [0, 4]}))
