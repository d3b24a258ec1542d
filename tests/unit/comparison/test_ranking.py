"""Rankings: the order, the pairs, the letters, and how often they are wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from pytest_arena.comparison.decision_rule import Rule
from pytest_arena.comparison.describe_ranking import describe_ranking
from pytest_arena.comparison.family_error import FamilyError
from pytest_arena.comparison.ranking import JobSamples, Ranking, rank
from pytest_arena.comparison.samples import Sample
from tests.unit.gate.samples import rates

RATE = Rule("success_rate", True, True, 0.0, 1.0, 0.0, 0.95, proposes=False)
LENGTH = Rule("episode_length", False, False, 0.0, 100.0, 0.0, 0.95, proposes=False)
HOLM = FamilyError(0.05, "holm")


def ranked(samples: dict[str, Sample], rule: Rule = RATE, allowed: FamilyError = HOLM) -> Ranking:
    return rank([("reach", JobSamples(rule, samples))], allowed)


def letters(ranking: Ranking, job: str = "reach") -> dict[str, str]:
    return {run.run: "".join(run.letters) for run in ranking.jobs[job].runs}


def told_apart(ranking: Ranking, job: str = "reach") -> set[str]:
    return {pair.first + pair.second for pair in ranking.jobs[job].pairs if pair.different}


def test_the_best_one_is_first_and_has_the_first_letter() -> None:
    found = ranked(
        {
            "A": rates([1] * 20 + [0] * 20),
            "B": rates([1] * 38 + [0] * 2),
            "C": rates([1] * 29 + [0] * 11),
            "D": rates([1] * 40),
        }
    )
    assert letters(found) == {"D": "a", "B": "a", "C": "b", "A": "c"}
    assert told_apart(found) == {"AB", "AC", "AD", "BC", "CD"}
    first = found.jobs["reach"].runs[0]
    assert (first.value, first.episodes) == (1.0, 40)
    assert first.interval == pytest.approx((0.912, 1.0), abs=1e-3)
    assert found.pairs == 6


def test_lower_values_may_be_better() -> None:
    rng = np.random.default_rng(1)
    short, long = rng.uniform(5, 30, 80), rng.uniform(60, 95, 80)
    found = ranked(
        {"A": rates(long, rate=False), "B": rates(short, rate=False), "C": rates(short, rate=False)}, LENGTH
    )
    assert letters(found) == {"B": "a", "C": "a", "A": "b"}


def test_a_pair_needs_stronger_evidence_among_more_pairs() -> None:
    """One-sided p 0.012 is 0.023 of two sides: told apart alone, not among six pairs."""
    pair = {"A": rates([1] * 40), "B": rates([1] * 35 + [0] * 5)}
    alone = ranked(pair)
    (found,) = alone.jobs["reach"].pairs
    assert found.comparison is not None
    assert found.comparison.worse is not None
    assert found.p_value == 2 * found.comparison.worse.p_value
    assert 0.05 / 6 < found.p_value < 0.05
    assert told_apart(alone) == {"AB"}
    assert told_apart(ranked({**pair, "C": pair["A"], "D": pair["A"]})) == set()
    jobs = {
        name: JobSamples(RATE, pair if name == "0" else {"A": pair["A"], "B": pair["A"]}) for name in "012345"
    }
    together = rank(jobs.items(), HOLM)
    assert together.pairs == 6
    assert told_apart(together, "0") == set()
    assert "over all 6 pairs of 6 jobs (Holm" in together.error_rate()


def test_a_share_of_false_ones_instead() -> None:
    samples = {"A": rates([1] * 40), "B": rates([0] * 40), "C": rates([0] * 40)}
    found = ranked(samples, allowed=FamilyError(0.05, "e-bh"))
    assert letters(found) == {"A": "a", "B": "b", "C": "b"}
    assert (
        "expected share of equal ones is at most 0.05, over all 3 pairs of 1 job (e-BH)" in found.error_rate()
    )


def test_what_the_difference_over_all_episodes_contradicts_tells_nothing() -> None:
    """Ten losses at first, then eleven wins: a test that may stop at any time has seen a loss."""
    before, after = [1] * 10 + [0] * 11, [0] * 10 + [1] * 11
    found = ranked({"A": rates(before, fixed=False), "B": rates(after, fixed=False)})
    (pair,) = found.jobs["reach"].pairs
    assert pair.p_value < 0.05
    assert not pair.different
    assert letters(found) == {"B": "a", "A": "a"}


def test_a_pair_that_cannot_be_compared_is_not_told_apart() -> None:
    """Of C only counts are known, and a gate may have stopped it: that needs each episode."""
    counts = Sample(counts=(0, 40), fixed=False)
    found = ranked({"A": rates([1] * 40), "B": rates([0] * 40), "C": counts})
    assert letters(found) == {"A": "a", "B": "b", "C": "ab"}
    assert told_apart(found) == {"AB"}
    assert found.pairs == 1
    words = list(describe_ranking(found, {}))
    assert any("A and C cannot be compared: a gate may have stopped the job" in line for line in words)


def test_in_words() -> None:
    samples = {"A": rates([1] * 40), "B": rates([0] * 40)}
    reach = JobSamples(RATE, samples, {"A": (0.8, 1.0)}, {"C": "the job did not complete"})
    found = rank([("reach", reach)], HOLM)
    assert list(describe_ranking(found, {"push": "fewer than two runs"})) == [
        "reach: success_rate, higher is better",
        "     run  letters  value   episodes  interval",
        "  1  A    a        100.0%  40        80.0% to 100.0%",
        "  2  B    b        0.0%    40        0.0% to 8.8%",
        "  C is not ranked: the job did not complete",
        "",
        "push: not ranked: fewer than two runs",
        "runs that share a letter are not told apart; the probability that any two runs are told apart that are "
        "equal is at most 0.05, over 1 pair of 1 job (Holm; each p-value is twice the smaller one-sided one)",
    ]


def test_a_display_of_too_many_letters_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_arena.comparison.letters.MOST_GROUPS", 1)
    found = ranked({"A": rates([1] * 40), "B": rates([0] * 40)})
    assert letters(found) == {"A": "", "B": ""}
    assert told_apart(found) == {"AB"}
    assert "  no letters: more than 1 letters would be needed" in describe_ranking(found, {})


# ------------------------------------------------------------------ error rates and power


def correlated(rng: np.random.Generator, true: Sequence[float], episodes: int) -> dict[str, Sample]:
    """Runs over the same episodes, some of which are hard for all of them: a latent correlation of 0.3."""
    hard = rng.standard_normal(episodes)
    return {
        name: rates(0.3**0.5 * hard + 0.7**0.5 * rng.standard_normal(episodes) < stats.norm.ppf(rate))
        for name, rate in zip("ABCDEF", true, strict=False)
    }


@pytest.mark.statistics
@pytest.mark.parametrize(
    ("true", "episodes", "jobs"), [((0.8,) * 4, 40, 1), ((0.5,) * 4, 100, 1), ((0.7,) * 3, 50, 3)]
)
def test_equal_runs_are_seldom_told_apart(true: Sequence[float], episodes: int, jobs: int) -> None:
    """1,000 rankings of equal policies: in at most 5 % of them any pair of any job is told apart."""
    rng, wrong = np.random.default_rng(5), 0
    for _ in range(1000):
        drawn = {f"job{index}": JobSamples(RATE, correlated(rng, true, episodes)) for index in range(jobs)}
        wrong += any(pair.different for job in rank(drawn.items(), HOLM).jobs.values() for pair in job.pairs)
    assert 5 <= wrong <= 50


@pytest.mark.statistics
def test_equal_runs_of_which_any_may_stop_at_any_time() -> None:
    rng, wrong = np.random.default_rng(6), 0
    for _ in range(1000):
        drawn = correlated(rng, (0.8,) * 4, 60)
        drawn = {name: dataclasses.replace(sample, fixed=False) for name, sample in drawn.items()}
        wrong += bool(told_apart(ranked(drawn)))
    assert wrong <= 50


@pytest.mark.statistics
@pytest.mark.parametrize(("episodes", "power"), [(50, 0.48), (100, 0.92), (200, 1.0)])
def test_power_to_tell_good_runs_from_worse_ones(episodes: int, power: float) -> None:
    """Two policies at 90 %, two at 70 %: how often a pair of one each is told apart, and equal ones are."""
    rng, right, wrong = np.random.default_rng(7), 0, 0
    for _ in range(300):
        found = told_apart(ranked(correlated(rng, (0.9, 0.9, 0.7, 0.7), episodes)))
        right += len(found & {"AC", "AD", "BC", "BD"})
        wrong += bool(found & {"AB", "CD"})
    assert right / 1200 == pytest.approx(power, abs=0.05)
    assert wrong <= 0.08 * 300  # one error rate over all pairs: more than 5 % would be luck
