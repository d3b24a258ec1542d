"""Tests of two runs over pairs of episodes, valid whenever a run stops or is extended.

A test reads pairs in episode order and multiplies a bettor's wealth: where the null hypothesis
holds, the probability that it ever reaches 1/α is at most α (J. Ville, 1939), whenever the run stops. The
pairing must not depend on outcomes; it need not be right: over independent episodes a pairing by index is as
valid, it only gains nothing.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from pytest_arena.comparison.samples import Values
from pytest_arena.gate.e_process import log_e_value
from pytest_arena.records.schema import Evidence

BETS = np.arange(1, 50) / 50
"""Fractions of its wealth that a bettor may stake: 0.02, 0.04 … 0.98; the wealth is the mean over them."""


def sign_test(differences: Values, alpha: float) -> Evidence:
    """Test "a pair that differs is as likely to fall as to rise", at least, against "more likely to fall".

    *differences* (n,) in episode order, of any size: only their signs count. The e-value is that of
    `e_process.e_value` at one half, over the pairs that differ.
    """
    path = np.zeros(len(differences))
    falls = rises = 0
    log = 0.0
    for index, difference in enumerate(differences):
        if difference:
            falls, rises = falls + (difference < 0), rises + (difference > 0)
            log = log_e_value(falls, rises, 0.5)
        path[index] = log
    return _sequential("sign test", path, alpha)


def betting_test(values: Values, mean: float, alpha: float) -> Evidence:
    """Test "the mean is at most *mean*" by betting.

    The wealth of a bet λ is ∏ (1 + λ (y - m)/m) (I. Waudby-Smith, A. Ramdas, JRSS B 86, 2024).

    Args:
        values: (n,) float64 in episode order; each lies in [0, 1].
        mean: The largest mean of the null hypothesis; 0 < mean < 1.
        alpha: The test rejects once the e-value has reached 1/alpha; between 0 and 1.

    Returns:
        The evidence that the mean is larger.
    """
    logs = np.cumsum(np.log1p(BETS * ((values[:, None] - mean) / mean)), axis=0)
    return _sequential("betting", np.logaddexp.reduce(logs, axis=1) - math.log(len(BETS)), alpha)


def falls(differences: Values, span: float, alpha: float) -> Evidence:
    """Test "the mean difference is at least 0" by betting.

    Args:
        differences: (n,) float64 in episode order, after - before; each lies in [-span, span].
        span: The largest difference that there can be, in the metric's unit.
        alpha: The test rejects once the e-value has reached 1/alpha; between 0 and 1.

    Returns:
        The evidence that the mean has fallen.
    """
    return betting_test((span - differences) / (2 * span), 0.5, alpha)


def holds_margin(differences: Values, margin: float, span: float, alpha: float) -> Evidence:
    """Test "the mean difference is at most -*margin*" by betting.

    With span 1 this is y = (1 + d)/2 against (1 - δ)/2.

    Args:
        differences: (n,) float64 in episode order, after - before; each lies in [-span, span].
        margin: In the metric's unit; 0 < margin < span.
        span: The largest difference that there can be, in the metric's unit.
        alpha: The test rejects once the e-value has reached 1/alpha; between 0 and 1.

    Returns:
        The evidence that the mean has fallen by less than the margin, or not at all.
    """
    return betting_test((span + differences) / (2 * span), (span - margin) / (2 * span), alpha)


def correlation(before: Values, after: Values) -> float | None:
    """Return Pearson's correlation of the pairs (φ of successes); None where one side does not vary."""
    if len(before) < 2 or before.std() == 0 or after.std() == 0:
        return None
    return float(np.corrcoef(before, after)[0, 1])


def mean_interval(differences: Values, confidence: float) -> tuple[float, float] | None:
    """Return Student's interval of a mean difference, for display; None for fewer than two pairs."""
    if len(differences) < 2:
        return None
    error = float(differences.std(ddof=1)) / len(differences) ** 0.5
    half = float(special.stdtrit(len(differences) - 1, 0.5 + confidence / 2)) * error
    mean = float(differences.mean())
    return mean - half, mean + half


def welch_interval(before: Values, after: Values, confidence: float) -> tuple[float, float] | None:
    """Return Welch's interval of the difference of two means, for display.

    Args:
        before: (n,) float64: the values of the baseline's episodes.
        after: (m,) float64: the values of the other run's episodes.
        confidence: Two-sided; between 0 and 1.

    Returns:
        The limits of the mean after - the mean before; None where nothing varies, or a side has fewer than
        two values.
    """
    if min(len(before), len(after)) < 2 or before.std() + after.std() == 0:
        return None
    from scipy import stats

    interval = stats.ttest_ind(after, before, equal_var=False).confidence_interval(confidence)
    return float(interval.low), float(interval.high)


def _sequential(test: str, log_path: Values, alpha: float) -> Evidence:
    """Return what a path of log e-values, one a pair, says."""
    if not len(log_path):
        return Evidence(test, 1.0, 1.0, None, False)
    reached = np.flatnonzero(log_path >= -math.log(alpha) - 1e-12)
    return Evidence(
        test,
        p_value=math.exp(-max(0.0, float(log_path.max()))),
        e_value=math.exp(min(float(log_path[-1]), 700.0)),
        reached_after=int(reached[0]) + 1 if len(reached) else None,
        rejects=len(reached) > 0,
    )
