"""Error rate and power of a ranking, through the package's own function; seconds of a large one.

    python benchmarks/rankings.py

All seeds are fixed: but for the seconds, the numbers are the same on any machine.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np
from scipy import stats

from pytest_arena.comparison.decision_rule import Rule
from pytest_arena.comparison.family_error import FamilyError
from pytest_arena.comparison.ranking import JobSamples, Ranking, rank
from pytest_arena.comparison.samples import Point, Sample

RULE = Rule("success_rate", True, True, 0.0, 1.0, 0.0, 0.95, proposes=False)
RATE = 0.05
CORRELATION = 0.3
"""Latent correlation of two runs over an episode: what is hard for one is hard for the other."""


def main() -> int:
    """Print the tables; returns 1 if a target is missed."""
    met = [errors(), power(), seconds()]
    print("\nall targets met" if all(met) else "\na target was MISSED")
    return 0 if all(met) else 1


def drawn(rng: np.random.Generator, rates: Sequence[float], episodes: int, *, fixed: bool) -> Ranking:
    """Rank runs with these true *rates* over the same episodes."""
    hard = rng.standard_normal(episodes)
    samples = {}
    for index, rate in enumerate(rates):
        own = rng.standard_normal(episodes)
        latent = CORRELATION**0.5 * hard + (1 - CORRELATION) ** 0.5 * own
        won = latent < stats.norm.ppf(rate)
        points = tuple(Point(e, float(value), e, f"s{e}") for e, value in enumerate(won))
        samples[str(index)] = Sample(points, (int(won.sum()), episodes), fixed)
    return rank([("job", JobSamples(RULE, samples))], FamilyError(RATE, "holm"))


def errors() -> bool:
    """How often any two of equal runs are told apart."""
    print(f"\nHow often any two of equal runs are told apart, family error {RATE}, 1,000 rankings each\n")
    print("| runs | true rate | episodes | numbers fixed | a gate may stop them |")
    print("|---|---|---|---|---|")
    met, rng = True, np.random.default_rng(1)
    for runs, rate, episodes in ((3, 0.9, 50), (4, 0.8, 40), (4, 0.5, 100), (8, 0.8, 100)):
        shares = []
        for fixed in (True, False):
            found = [drawn(rng, (rate,) * runs, episodes, fixed=fixed) for _ in range(1000)]
            shares.append(np.mean([any(p.different for p in one.jobs["job"].pairs) for one in found]))
        met &= max(shares) <= RATE
        print(f"| {runs} | {rate} | {episodes} | {shares[0]:.3f} | {shares[1]:.3f} |")
    print(f"\ntarget: ≤ {RATE}, {'met' if met else 'MISSED'}")
    return met


def power() -> bool:
    """How often a run at 0.9 and one at a lower rate are told apart, among four runs."""
    print(
        "\nHow often a run at 0.9 is told apart from one that is worse: two of each kind, 300 rankings each\n"
    )
    print("| the worse two | episodes | numbers fixed | a gate may stop them |")
    print("|---|---|---|---|")
    rng = np.random.default_rng(2)
    for worse, episodes in ((w, n) for w in (0.8, 0.7) for n in (50, 100, 200)):
        shares = []
        for fixed in (True, False):
            found = [drawn(rng, (0.9, 0.9, worse, worse), episodes, fixed=fixed) for _ in range(300)]
            across = [
                pair.different
                for one in found
                for pair in one.jobs["job"].pairs
                if (pair.first in "01") != (pair.second in "01")
            ]
            shares.append(np.mean(across))
        print(f"| {worse} | {episodes} | {shares[0]:.2f} | {shares[1]:.2f} |")
    return True


def seconds() -> bool:
    """CPU seconds to rank 20 runs with 200 episodes: 190 pairs."""
    rng = np.random.default_rng(3)
    began = time.process_time()
    drawn(rng, np.linspace(0.4, 0.95, 20).tolist(), 200, fixed=True)
    spent = time.process_time() - began
    print(f"\n20 runs of 200 episodes, 190 pairs: {spent:.1f} CPU s (target: < 10)")
    return spent < 10


if __name__ == "__main__":
    sys.exit(main())
