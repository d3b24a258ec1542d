"""The interval of a mean over jobs: it covers the truth, however the jobs depend on each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pytest_arena import JobRecord, RunDirectory, Status
from pytest_arena.comparison.groups import JobRate, interval_of_mean, judge_group
from pytest_arena.comparison.samples import Point, Sample
from pytest_arena.gate.intervals import wilson
from pytest_arena.records.episodes import write_episodes
from tests.unit.gate.samples import episode


def job(outcomes: Sequence[float], seed: int = 0, *, seeded: bool = True) -> JobRate:
    """A job whose episode e has the seed *seed* + e."""
    successes, episodes = int(sum(outcomes)), len(outcomes)
    points = tuple(Point(index, float(value), seed + index) for index, value in enumerate(outcomes))
    sample = Sample(points, (successes, episodes))
    return JobRate(successes / episodes, wilson(successes, episodes), sample, seeded)


def half(interval: tuple[float, float]) -> float:
    return (interval[1] - interval[0]) / 2


MIXED = [1, 1, 0, 1, 0, 1, 1, 1, 0, 1] * 4
OTHER = [1, 0, 1, 1, 1, 1, 0, 1, 1, 0] * 4


def test_one_job_has_its_own_interval() -> None:
    assert interval_of_mean([job(MIXED)]) == pytest.approx(wilson(28, 40))
    assert interval_of_mean([JobRate(0.7, (0.4, 0.8))]) == pytest.approx((0.4, 0.8))


def test_the_same_outcomes_twice_tell_no_more_than_once() -> None:
    low, high = interval_of_mean([job(MIXED), job(MIXED), job(MIXED)])
    own = wilson(28, 40)
    assert low == pytest.approx(own[0], abs=1e-9)
    assert high == pytest.approx(own[1], abs=1e-9)


def test_jobs_with_other_seeds_are_independent_whatever_their_outcomes() -> None:
    found = interval_of_mean([job(MIXED, seed=1000 * i) for i in range(4)])
    assert half(found) == pytest.approx(half(wilson(28, 40)) / 2)
    apart = interval_of_mean([job(MIXED), job(OTHER, seed=1000)])
    assert half(apart) == pytest.approx(half(wilson(28, 40)) / 2**0.5)


@pytest.mark.parametrize("shift", [0, 1, 20])
def test_jobs_that_share_some_of_their_seeds_depend_on_each_other(shift: int) -> None:
    """A job may give its seeds: then the same seed can be of another episode."""
    rng = np.random.default_rng(3)
    by_seed = rng.random(40 + shift) < 0.7
    first, second = (job(by_seed[start : start + 40].astype(float), seed=start) for start in (0, shift))
    found = interval_of_mean([first, second])
    alone = interval_of_mean([first, job([p.value for p in second.sample.points], seed=1000)])  # type: ignore[union-attr]
    assert half(found) > half(alone)
    if shift <= 1:  # all but one of the seeds are shared: it is nearly one job
        assert half(found) == pytest.approx(half(first.interval), rel=0.1)


def test_outcomes_that_part_do_not_shorten_the_interval_below_that_of_independent_jobs() -> None:
    """Two jobs of which one fails where the other succeeds: the true mean hardly varies, but who knows."""
    opposite = [1 - value for value in MIXED]
    found = interval_of_mean([job(MIXED), job(opposite)])
    independent = interval_of_mean([job(MIXED), job(opposite, seed=1000)])
    assert half(found) >= half(independent)


@pytest.mark.parametrize(
    "second",
    [
        JobRate(1.0, wilson(40, 40)),
        job([1] * 40),
        job(OTHER, seeded=False),
        JobRate(0.7, wilson(28, 40), Sample(counts=(28, 40)), True),
    ],
    ids=["no episodes", "no failure", "not seeded", "counts alone"],
)
def test_what_shows_no_correlation_is_taken_to_have_the_largest(second: JobRate) -> None:
    found = interval_of_mean([job(MIXED, seeded=second.seeded or second.sample is None), second])
    mean_half = (half(wilson(28, 40)) + half(second.interval)) / 2
    assert half(found) == pytest.approx(mean_half, rel=1e-9)


def test_a_job_with_fewer_episodes_shares_some_of_them() -> None:
    """The mean over 10 of 40 episodes depends on that of all by √(10/40)."""
    long, short = job(MIXED), job(MIXED[:10])
    h, k = half(long.interval), half(short.interval)
    student = stats.t.ppf(0.975, 9) / stats.norm.ppf(0.975)
    spread = np.std(MIXED) * np.std(MIXED[:10])
    shared = np.dot(np.array(MIXED[:10]) - np.mean(MIXED), np.array(MIXED[:10]) - np.mean(MIXED[:10]))
    expected = (h**2 + k**2 + 2 * h * k * shared / spread / 20) ** 0.5 * student * (10 / 9) ** 0.5 / 2
    assert half(interval_of_mean([long, short])) == pytest.approx(min(expected, (h + k) / 2))


def test_an_interval_stays_between_0_and_1() -> None:
    low, high = interval_of_mean([job([1] * 20, seed=100 * i) for i in range(3)])
    assert wilson(20, 20)[0] < low < 1
    assert high == 1
    assert interval_of_mean([job([0] * 20)])[0] == 0


def coverage(rates: Sequence[float], episodes: int, correlation: float, seed: int) -> tuple[float, float]:
    """Share of 400 groups whose interval has the true mean, and the mean width.

    Jobs that share a difficulty of each episode: a latent normal with this *correlation*.
    """
    rng, cuts, covered, widths = np.random.default_rng(seed), stats.norm.ppf(rates), 0, 0.0
    for _ in range(400):
        shared = rng.standard_normal((episodes, 1))
        own = rng.standard_normal((episodes, len(rates)))
        outcomes = correlation**0.5 * shared + (1 - correlation) ** 0.5 * own < cuts
        low, high = interval_of_mean([job(column) for column in outcomes.T.astype(float)])
        covered += bool(low <= np.mean(rates) <= high)
        widths += high - low
    return covered / 400, widths / 400


@pytest.mark.statistics
@pytest.mark.parametrize(
    ("rates", "episodes"),
    [([0.8] * 10, 50), ([0.95] * 6, 30), ([0.99, 0.99, 0.6, 0.6], 40)],
    ids=["alike", "high", "mixed"],
)
def test_the_true_mean_is_covered_however_the_jobs_depend_on_each_other(
    rates: list[float], episodes: int
) -> None:
    """95 %, with two standard errors of the simulation; as if independent it was down to 52 %."""
    found = {rho: coverage(rates, episodes, rho, seed=11) for rho in (0.0, 0.3, 0.6, 0.9)}
    assert min(share for share, _ in found.values()) >= 0.95 - 2 * 0.0109
    assert found[0.0][1] < 0.85 * found[0.9][1]


def test_a_group_reads_how_its_jobs_depend_on_each_other_from_their_episodes(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()

    def write(name: str, outcomes: Sequence[int], seed: int) -> JobRecord:
        directory = run.claim(name)
        lines = [episode(index, bool(value), seed=seed + index) for index, value in enumerate(outcomes)]
        write_episodes(directory.episodes, lines)
        record = JobRecord(name, 1, "", "s", "e", "p", Status.COMPLETED)
        record.metrics = {"success_rate": sum(outcomes) / len(outcomes)}
        record.intervals = {"success_rate": wilson(sum(outcomes), len(outcomes))}
        record.identity = {"capabilities": {"episode_seeds": True}}
        record.episodes_path = f"{name}/episodes.jsonl"
        return record

    def interval(records: Sequence[JobRecord], read: bool = True) -> tuple[float, float]:
        named = {record.job: record for record in records}
        found = judge_group({"success_rate": ">= 0.5"}, {n: [n] for n in named}, named, run if read else None)
        return found.results[0].interval or (0, 0)

    one, twin, other = write("a", MIXED, 0), write("b", MIXED, 0), write("c", MIXED, 500)
    assert half(interval([one, twin])) == pytest.approx(half(wilson(28, 40)))
    assert half(interval([one, other])) == pytest.approx(half(wilson(28, 40)) / 2**0.5)
    assert half(interval([one, other], read=False)) == pytest.approx(half(wilson(28, 40)))
    (run.path / "c" / "episodes.jsonl").write_text("{")
    assert half(interval([one, other])) == pytest.approx(half(wilson(28, 40)))


def record(label: str, status: Status = Status.COMPLETED, **metrics: float | None) -> JobRecord:
    made = JobRecord(label, 1, "", "s", "e", "p", status=status, metrics=dict(metrics))
    made.intervals = {"success_rate": wilson(round((metrics.get("success_rate") or 0) * 20), 20)}
    return made


def test_the_mean_over_a_group() -> None:
    records = {name: record(name, success_rate=rate) for name, rate in (("a", 1.0), ("b", 0.5), ("c", 0.75))}
    jobs = {name: [name] for name in records}
    found = judge_group({"success_rate": ">= 0.75"}, jobs, records)
    assert (found.passed, found.results[0].value) == (True, 0.75)
    low, high = found.results[0].interval or (0, 0)
    # Nothing is known of their episodes, so the jobs may depend on each other entirely.
    assert (low, high) == pytest.approx(
        np.mean([r.intervals["success_rate"] for r in records.values()], axis=0)
    )
    assert found.results[0].undecided
    assert judge_group({"success_rate": "> 75%"}, jobs, records).passed is False


def test_a_group_of_one_has_its_jobs_interval() -> None:
    records = {"a": record("a", success_rate=0.75)}
    found = judge_group({"success_rate": ">= 0.7"}, {"a": ["a"]}, records)
    assert found.results[0].interval == pytest.approx(wilson(15, 20))


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ({"a": ["a"], "b": []}, "1 of 2 jobs not selected (b)"),
        ({"a": ["a"], "crashed": ["crashed"]}, "1 of 2 jobs not completed (crashed)"),
        ({"a": ["a"], "never": ["never"]}, "1 of 2 jobs not completed (never)"),
    ],
)
def test_a_part_of_a_group_is_not_judged(jobs: dict[str, list[str]], words: str) -> None:
    records = {"a": record("a", success_rate=1.0), "crashed": record("crashed", Status.CRASHED)}
    found = judge_group({"success_rate": ">= 0.1"}, jobs, records)
    assert (found.passed, found.missing, found.results) == (None, [words], [])


def test_an_unmeasured_job_fails_its_group_and_is_named() -> None:
    records = {"a": record("a", own=1.0), "b": record("b", own=None)}
    found = judge_group({"own": "< 5"}, {"a": ["a"], "b": ["b"]}, records)
    assert (found.passed, found.results[0].reason) == (False, "not measured in b")
