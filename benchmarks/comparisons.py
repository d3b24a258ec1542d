"""Error rates, power and coverage of what compares runs and groups, through the package's own functions.

    python benchmarks/comparisons.py [PART …]

Parts: seconds, size, power, margin, groups, sessions, chosen; all of them without one. All seeds are fixed.
Sizes and the power of tests over fixed numbers of episodes are computed exactly, the rest is simulated.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import lru_cache
from io import StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pytest_arena import Episode, JobRecord, Outcome, RunDirectory, Status
from pytest_arena.__main__ import main as command
from pytest_arena.comparison.compare import compare
from pytest_arena.comparison.decision_rule import Rule
from pytest_arena.comparison.exact_tests import paired_margin, paired_test, unpaired_margin, unpaired_test
from pytest_arena.comparison.groups import JobRate, interval_of_mean
from pytest_arena.comparison.paired_tests import holds_margin, sign_test
from pytest_arena.comparison.samples import Point, Sample
from pytest_arena.gate.intervals import wilson
from pytest_arena.records.episodes import write_episodes
from pytest_arena.records.files import write_json

ALPHA = 0.05
CORRELATIONS = (0.0, 0.3, 0.6)
Counts = NDArray[np.int64]


def main(wanted: Sequence[str]) -> int:
    """Print the tables; returns 1 if a target is missed."""
    good = []
    for name, part in PARTS.items():
        if not wanted or name in wanted:
            began = time.monotonic()
            good.append(part())
            print(f"\n({name}: {time.monotonic() - began:.0f} s)", file=sys.stderr)
    print("\nall targets met" if all(good) else "\na target was MISSED")
    return 0 if all(good) else 1


# ---------------------------------------------------------------------------- which outcomes are rejected


@lru_cache
def falls_that_alarm(pairs: int) -> Counts:
    """Beside 0, 1 … rises, the number of falls from which the pairs are worse; pairs + 1: never."""
    return _least(lambda f, r: paired_test(f, r, pairs, ALPHA).rejects, pairs, lambda r: pairs - r)


@lru_cache
def rises_that_hold(pairs: int, margin: float) -> Counts:
    """Beside 0, 1 … falls, the number of rises from which the margin holds."""
    return _least(lambda r, f: paired_margin(f, r, pairs, margin, ALPHA).rejects, pairs, lambda f: pairs - f)


@lru_cache
def failures_that_alarm(episodes: int) -> Counts:
    """Beside 0, 1 … 60 failures before, the number of failures after from which the rate has fallen."""

    def rejects(after: int, before: int) -> bool:
        return unpaired_test((episodes - before, episodes), (episodes - after, episodes), ALPHA).rejects

    return _least(rejects, episodes, lambda _: episodes, until=60)


@lru_cache
def successes_that_hold(episodes: int, margin: float) -> Counts:
    """Beside 0, 1 … successes before, the number of successes after from which the margin holds."""

    def rejects(after: int, before: int) -> bool:
        return unpaired_margin((before, episodes), (after, episodes), margin, ALPHA).rejects

    return _least(rejects, episodes, lambda _: episodes)


def _least(
    rejects: Callable[[int, int], bool], size: int, most: Callable[[int], int], until: int | None = None
) -> Counts:
    """For 0, 1 … *until*, the first number that is rejected; it does not fall from one to the next."""
    found, count = np.full(size + 1, size + 1), 0
    for other in range(min(size, size if until is None else until) + 1):
        while count <= most(other) and not rejects(count, other):
            count += 1
        found[other] = count if count <= most(other) else size + 1
    return found


def over_pairs(least: Counts, other: float, wanted: float) -> float:
    """P(rejected) over pairs, of which these shares are the *other* kind, and the *wanted* one."""
    pairs = len(least) - 1
    others = np.arange(pairs + 1)
    chances = stats.binom.sf(least - 1, pairs - others, wanted / (1 - other))
    return float(stats.binom.pmf(others, pairs, other) @ chances)


def over_counts(least: Counts, before: float, after: float) -> float:
    """P(rejected) over independent episodes, with these rates."""
    episodes = len(least) - 1
    chances = stats.binom.sf(least - 1, episodes, after)
    return float(stats.binom.pmf(np.arange(episodes + 1), episodes, before) @ chances)


def falls_and_rises(before: float, after: float, correlation: float) -> tuple[float, float]:
    """P(fall) and P(rise) of a pair whose latent normals have this *correlation*."""
    cuts = stats.norm.ppf([before, after])
    both = float(stats.multivariate_normal.cdf(cuts, cov=[[1, correlation], [correlation, 1]]))
    return before - both, after - both


# ------------------------------------------------------------------------------------------------ parts


def size() -> bool:
    """The largest error over every value of what the null hypothesis leaves open."""
    print(f"\nLargest error rate, α = {ALPHA}, exactly\n")
    print("| episodes | worse, paired | margin 0.05, paired | margin 0.1, paired | margin 0.1, unpaired |")
    print("|---|---|---|---|---|")
    met = True
    for n in (20, 50, 100, 200):
        shares, rates = np.linspace(0.01, 0.999, 300), np.linspace(0.1, 1, 300)
        cells = [max(over_pairs(falls_that_alarm(n), s / 2, s / 2) for s in shares)]
        for margin in (0.05, 0.1):
            rises = np.linspace(0, (1 - margin) / 2 - 1e-9, 300)
            cells.append(max(over_pairs(rises_that_hold(n, margin), q + margin, q) for q in rises))
        cells.append(max(over_counts(successes_that_hold(n, 0.1), p, p - 0.1) for p in rates))
        met &= max(cells) <= ALPHA + 1e-9
        print(f"| {n} | " + " | ".join(f"{cell:.4f}" for cell in cells) + " |")
    print(f"\ntarget: ≤ {ALPHA}, {'met' if met else 'MISSED'}")
    return met


def power() -> bool:
    """How often a worse policy is found: paired, unpaired and sequential, on the same data."""
    print(f"\nHow often a policy that fell from 0.9 is found, α = {ALPHA}; ρ: latent correlation of a pair\n")
    print("| now | episodes | ρ | paired, fixed | unpaired, fixed | paired, may stop (1,500 runs) |")
    print("|---|---|---|---|---|---|")
    met, rng = True, np.random.default_rng(2)
    for now, n, rho in ((p, n, rho) for p in (0.8, 0.7) for n in (50, 100, 200) for rho in CORRELATIONS):
        fall, rise = falls_and_rises(0.9, now, rho)
        paired = over_pairs(falls_that_alarm(n), rise, fall)
        both = 0.9 - fall
        table = rng.multinomial(n, [both, fall, rise, max(0.0, 1 - both - fall - rise)], 50_000)
        before, after = table[:, 2] + table[:, 3], table[:, 1] + table[:, 3]
        unpaired = float(np.mean(after >= failures_that_alarm(n)[before]))
        draws = rng.choice([-1.0, 1.0, 0.0], (1500, n), p=[fall, rise, 1 - fall - rise])
        sequential = float(np.mean([sign_test(run, ALPHA).rejects for run in draws]))
        met &= paired >= unpaired - (0.01 if rho == 0 else 0.002)
        print(f"| {now} | {n} | {rho} | {paired:.3f} | {unpaired:.3f} | {sequential:.3f} |")
    reached = [over_pairs(falls_that_alarm(200), *falls_and_rises(0.9, 0.8, rho)[::-1]) for rho in (0.0, 0.6)]
    met &= reached[0] >= 0.86 and reached[1] >= 0.96
    print(
        "\ntarget: paired ≥ unpaired (less 1 point where the pairs are independent), and ≥ .86 and .96 for "
        f"0.8 at 200 episodes, ρ 0 and 0.6: {'met' if met else 'MISSED'}"
    )
    return met


def margin() -> bool:
    """How often an equal policy is shown to be within a margin of 10 points."""
    print("\nHow often a policy that stayed at 0.9 is shown to hold a margin of 0.1\n")
    print("| episodes | ρ | paired, fixed | unpaired, fixed | paired, may stop (1,500 runs) |")
    print("|---|---|---|---|---|")
    met, rng = True, np.random.default_rng(3)
    for n, published in ((50, 0.45), (100, 0.72), (200, 0.95)):
        unpaired = over_counts(successes_that_hold(n, 0.1), 0.9, 0.9)
        met &= unpaired >= published - 0.006
        for rho in CORRELATIONS:
            fall, rise = falls_and_rises(0.9, 0.9, rho)
            paired = over_pairs(rises_that_hold(n, 0.1), fall, rise)
            met &= paired >= unpaired - (0.01 if rho == 0 else 0.0)
            draws = rng.choice([-1.0, 1.0, 0.0], (1500, n), p=[fall, rise, 1 - fall - rise])
            sequential = np.mean([holds_margin(run, 0.1, 1.0, ALPHA).rejects for run in draws])
            print(f"| {n} | {rho} | {paired:.3f} | {unpaired:.3f} | {sequential:.3f} |")
    print(
        "\ntarget: unpaired .45, .72, .95; paired ≥ unpaired (less 1 point where pairs are independent): "
        f"{'met' if met else 'MISSED'}"
    )
    return met


def groups() -> bool:
    """How often a group's interval has the true mean, where jobs share the difficulty of each episode."""
    print(
        "\nGroups of jobs with one seed, 2,000 each: share of 95 % intervals with the true mean; mean width\n"
    )
    print("| jobs, episodes | ρ = 0 | ρ = 0.3 | ρ = 0.6 | ρ = 0.9 |")
    print("|---|---|---|---|---|")
    met, rng = True, np.random.default_rng(4)
    for name, rates, episodes in (
        ("10 of 0.8, 50", [0.8] * 10, 50),
        ("10 of 0.95, 50", [0.95] * 10, 50),
        ("30 of 0.9, 20", [0.9] * 30, 20),
        ("5 of 0.99 and 5 of 0.6, 50", [0.99] * 5 + [0.6] * 5, 50),
    ):
        cells = []
        for rho in (0.0, 0.3, 0.6, 0.9):
            covered, width = coverage(rates, episodes, rho, 2000, rng)
            met &= covered >= 0.93
            cells.append(f"{covered:.3f}; {width:.3f}")
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(f"\ntarget: ≥ .93, 95 % less 2 points: {'met' if met else 'MISSED'}")
    return met


def coverage(
    rates: Sequence[float], episodes: int, correlation: float, repetitions: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the share of intervals that have the true mean, and their mean width."""
    cuts, covered, width = stats.norm.ppf(rates), 0, 0.0
    for _ in range(repetitions):
        shared, own = rng.standard_normal((episodes, 1)), rng.standard_normal((episodes, len(rates)))
        outcomes = correlation**0.5 * shared + (1 - correlation) ** 0.5 * own < cuts
        jobs = []
        for column in outcomes.T:
            successes = int(column.sum())
            points = tuple(Point(index, float(value), index) for index, value in enumerate(column))
            sample = Sample(points, (successes, episodes))
            jobs.append(JobRate(successes / episodes, wilson(successes, episodes), sample, seeded=True))
        low, high = interval_of_mean(jobs)
        covered += bool(low <= np.mean(rates) <= high)
        width += high - low
    return covered / repetitions, width / repetitions


def sessions() -> bool:
    """Runs of 100 equal jobs through ``python -m pytest_arena compare``: how often one is a regression."""
    repetitions = 40
    rng = np.random.default_rng(5)
    red: dict[tuple[str, ...], int] = {
        (): 0,
        ("--family-error", "0.05"): 0,
        ("--family-error", "0.05 e-bh"): 0,
    }
    with tempfile.TemporaryDirectory() as folder:
        for repetition in range(repetitions):
            runs = [write_run(Path(folder) / f"{repetition}{side}", 100, 40, rng) for side in "ab"]
            for options in red:
                with redirect_stdout(StringIO()):
                    red[options] += command(["compare", *map(str, runs), *options]) == 1
    print(f"\n100 jobs at 0.9, before and after, 40 episodes each, {repetitions} times: exit status 1\n")
    print("| options | share |")
    print("|---|---|")
    for options, count in red.items():
        print(f"| `compare A B {' '.join(options)}` | {count / repetitions:.2f} |")
    met = all(count / repetitions <= 0.05 + 2 * 0.035 for options, count in red.items() if options)
    print(f"\ntarget: ≤ .05 with a family error (and two standard errors): {'met' if met else 'MISSED'}")
    return met


def write_run(path: Path, jobs: int, episodes: int, rng: np.random.Generator) -> Path:
    """Write a run directory whose jobs succeed in 90 % of their episodes; returns its path."""
    run, configs = RunDirectory(path), {}
    path.mkdir()
    for name, successes in ((f"job{index}", rng.random(episodes) < 0.9) for index in range(jobs)):
        directory = run.claim(name)
        write_episodes(
            directory.episodes,
            [line(name, index, bool(success)) for index, success in enumerate(successes)],
        )
        record = JobRecord(name, 1, "", "gymnasium", "CartPole-v1", "zero", Status.COMPLETED)
        record.record_path, record.episodes_path = f"{name}/record.json", f"{name}/episodes.jsonl"
        write_json(directory.record, record.to_json())
        configs[name] = {
            "config": {"simulator": "gymnasium", "environment": {"id": "CartPole-v1"}, "rollout": {}}
        }
    write_json(run.manifest_path, {"jobs": configs})
    return path


def line(job: str, index: int, success: bool) -> Episode:
    """Return a finished episode whose seed and initial state follow from its index."""
    return Episode(
        job=job,
        attempt=1,
        rebuild=0,
        episode=index,
        seed=index,
        env_idx=0,
        start_step=10 * index,
        end_step=10 * index + 9,
        length=10,
        outcome=Outcome.SUCCESS if success else Outcome.FAILURE,
        success_once=success,
        success_at_end=success,
        success_at_reset=False,
        return_=float(success),
        end_reason="success" if success else "time_out",
        started_at="2026-01-01T00:00:00.000Z",
        wall_time_seconds=0.0,
        initial_state=f"state {index}",
    )


def chosen() -> bool:
    """What it does to choose the baseline by its result."""
    rng, n, repetitions = np.random.default_rng(6), 200, 20_000
    print(
        "\nFalse regressions (rate 0.9, nothing changed, 200 episodes with seeds of their own), by baseline\n"
    )
    print("| baseline | regressions found |")
    print("|---|---|")
    alarm, hold = failures_that_alarm(n), successes_that_hold(n, 0.05)
    for choices in (1, 3, 10):
        before = rng.binomial(n, 0.9, (repetitions, choices)).max(axis=1)
        after = rng.binomial(n, 0.9, repetitions)
        red = (n - after >= alarm[n - before]) & (after < hold[before])
        print(f"| {'the run before' if choices == 1 else f'the best of {choices} runs'} | {red.mean():.1%} |")
    return True


def seconds() -> bool:
    """CPU seconds of one comparison, the fastest of 3 that are not cached; Boschloo's takes the most."""
    print("\nCPU seconds of a comparison, fastest of 3: verdict and, if inconclusive, what would decide it\n")
    print("| episodes | paired | unpaired | target |")
    print("|---|---|---|---|")
    met, rng = True, np.random.default_rng(7)
    rule = Rule("success_rate", True, True, 0.0, 1.0, 0.05, 0.95)
    compare(*(sample(rng.random(20) < 0.9, 0) for _ in range(2)), rule)  # what is imported late
    for n in (50, 200, 500, 2000):
        spent = []
        for seed in (0, 10**6):
            taken = []
            for _ in range(3):
                before, after = sample(rng.random(n) < 0.9, 0), sample(rng.random(n) < 0.87, seed)
                began = time.process_time()
                compare(before, after, rule)
                taken.append(time.process_time() - began)
            spent.append(min(taken))
        met &= max(spent) < 2
        print(f"| {n} | {spent[0]:.2f} | {spent[1]:.2f} | < 2, {'met' if max(spent) < 2 else 'MISSED'} |")
    return met


def sample(outcomes: NDArray[np.bool_], seed: int) -> Sample:
    """Return a run whose episode e has the seed *seed* + e."""
    points = (Point(e, float(value), seed + e, f"s{seed + e}") for e, value in enumerate(outcomes))
    return Sample(tuple(points), (int(outcomes.sum()), len(outcomes)))


PARTS = {
    "seconds": seconds,
    "size": size,
    "power": power,
    "margin": margin,
    "groups": groups,
    "sessions": sessions,
    "chosen": chosen,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
