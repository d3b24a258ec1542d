"""Labels: no folder of one job can have the name of another's."""

from __future__ import annotations

import random

import pytest

from pytest_arena.jobs.model import Shard
from pytest_arena.records.run_directory import RUN_FILES
from pytest_arena.session.labels import LONGEST, JobNames, choose_labels

NAMES = ["reach", "Reach", "reach.", "reach.2", "reach.2.3", "reach-test_it", "reach-shard0of2", "run.json"]
NAMES += ["reach-shard0of2.2", "reach-shard1of3", "REACH.10", "metrics.json", "pi0", "pi0.5", "x" * 100]


def named(name: str, function: str = "test_it", shards: int = 1, node: str = "") -> JobNames:
    parts = tuple(Shard(index, shards).suffix for index in range(shards)) if shards > 1 else ()
    return JobNames(name, function, node or f"test_it.py::{function}[{name}]", parts)


def folders(job: JobNames, label: str) -> set[str]:
    """All folders that the job may have, as the least able file system tells them apart."""
    bare = [label, *(label + suffix for suffix in job.suffixes)]
    every = [*bare, *(f"{folder}.{attempt}" for folder in bare for attempt in range(2, 12))]
    return {folder.casefold().rstrip(".") for folder in every}


@pytest.mark.parametrize("seed", range(100))
def test_no_two_jobs_share_a_folder(seed: int) -> None:
    draw = random.Random(seed)
    jobs = [
        named(
            draw.choice(NAMES), draw.choice(["test_it", "test_shard0of2", "t" * 250]), draw.choice([1, 1, 2])
        )
        for _ in range(draw.randint(2, 8))
    ]
    jobs = [JobNames(job.name, job.function, f"{job.node}#{n}", job.suffixes) for n, job in enumerate(jobs)]
    taken = {name.casefold() for name in RUN_FILES}
    for job, label in zip(jobs, choose_labels(jobs), strict=True):
        own = folders(job, label)
        assert not own & taken
        assert max(len(folder.encode()) for folder in own) < 240
        taken |= own


def test_ordinary_labels_are_the_names() -> None:
    names = ["reach", "push", "pi0.5", "pi0.6", "v1.2", "reach-2", "a-shard", "reach-shard0of2"]
    assert choose_labels([named(name) for name in names]) == names


@pytest.mark.parametrize(
    ("jobs", "labels"),
    [
        ([named("reach", "test_a"), named("reach", "test_b")], ["reach-test_a", "reach-test_b"]),
        ([named("reach"), named("reach.2")], ["reach", "reach.2-test_it"]),
        ([named("reach", shards=2), named("reach-shard0of2")], ["reach", "reach-shard0of2-test_it"]),
        (
            [named("reach", "test_a"), named("reach", "test_b", shards=2)],
            ["reach-test_a", "reach-test_b"],
        ),
        (
            [named("reach", "test_a"), named("reach", "test_b"), named("reach-test_a", "test_a")],
            ["reach-23eea5b6", "reach-test_b", "reach-test_a"],
        ),
    ],
    ids=["two-tests", "attempt", "shard", "joined", "another-name"],
)
def test_who_gives_way(jobs: list[JobNames], labels: list[str]) -> None:
    assert choose_labels(jobs) == labels


def test_names_that_differ_in_case_are_two_folders_everywhere() -> None:
    upper, lower = choose_labels([named("Reach"), named("reach")])
    assert upper.startswith("Reach-")
    assert lower.startswith("reach-")
    assert upper.casefold() != lower.casefold()


def test_long_names_are_cut_and_stay_apart() -> None:
    long = "test_" + "x" * 300
    labels = choose_labels([named("reach", long + "a"), named("reach", long + "b")])
    assert len(set(labels)) == 2
    assert max(map(len, labels)) == LONGEST


def test_a_test_that_is_there_twice_has_two_folders() -> None:
    node = "test_it.py::test_it[reach]"
    first, second = choose_labels([named("reach", node=node), named("reach", node=f"{node}#2")])
    assert first != second
