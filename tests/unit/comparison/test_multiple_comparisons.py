"""Many comparisons: Holm and e-BH."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_arena import JobRecord, Status
from pytest_arena.comparison.exact_tests import paired_test
from pytest_arena.comparison.family_error import FamilyError, Method
from pytest_arena.comparison.multiple_comparisons import e_bh, holm, judge_comparisons, judge_family
from pytest_arena.records.schema import Comparison, ComparisonVerdict, Evidence

P_VALUES = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(0, 1), max_size=12)
RATES = st.sampled_from([0.01, 0.05, 0.1])


def test_holms_own_steps() -> None:
    p_values = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}
    assert holm(p_values, 0.05) == {"a", "d"}  # 0.005 <= 0.05/4, 0.01 <= 0.05/3, 0.03 > 0.05/2
    assert holm({"a": 0.0125, "b": 0.0166, "c": 0.025, "d": 0.05}, 0.05) == {"a", "b", "c", "d"}
    assert holm({"a": 0.0126, "b": 0.0126, "c": 0.0126, "d": 0.0126}, 0.05) == set()
    assert holm({}, 0.05) == set()


@given(P_VALUES, RATES)
@settings(deadline=None)
def test_holm_lies_between_bonferroni_and_no_correction(p_values: dict[str, float], rate: float) -> None:
    found = holm(p_values, rate)
    bonferroni = {name for name, p in p_values.items() if p <= rate / len(p_values)}
    assert bonferroni <= found <= {name for name, p in p_values.items() if p <= rate}


def test_e_bh_steps() -> None:
    assert e_bh({"a": 80.0, "b": 1.0, "c": 1.0, "d": 1.0}, 0.05) == {"a"}
    assert e_bh({"a": 79.0, "b": 1.0, "c": 1.0, "d": 1.0}, 0.05) == set()
    assert e_bh({"a": 40.0, "b": 40.0, "c": 1.0, "d": 1.0}, 0.05) == {"a", "b"}
    assert e_bh({"a": 20.0}, 0.05) == {"a"}
    assert e_bh({}, 0.05) == set()


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(1.0, 1e9), max_size=12), RATES)
@settings(deadline=None)
def test_e_bh_is_bh_of_inverted_e_values(e_values: dict[str, float], rate: float) -> None:
    names = list(e_values)
    inverted = [1 / e_values[name] for name in names]
    adjusted = stats.false_discovery_control(inverted) if names else []
    assert e_bh(e_values, rate * (1 + 1e-9)) == {
        name for name, p in zip(names, adjusted, strict=True) if p <= rate * (1 + 1e-9)
    }


def test_the_family_error_is_kept() -> None:
    """2,000 sessions of 20 jobs that are as good as their baseline: at most 5 % find anything."""
    rng = np.random.default_rng(3)
    found = [holm({str(i): p for i, p in enumerate(rng.random(20))}, 0.05) for _ in range(2000)]
    assert np.mean([bool(f) for f in found]) == pytest.approx(0.05, abs=0.012)


def record(label: str) -> JobRecord:
    return JobRecord(label, 1, "", "s", "e", "p", status=Status.COMPLETED)


def compared(label: str, p_value: float, e_value: float) -> JobRecord:
    made = record(label)
    made.comparison = Comparison("success_rate", ComparisonVerdict.REGRESSION)
    made.comparison.worse = Evidence("sign test", p_value, e_value, 7, True)
    return made


def equal_runs(jobs: int, rng: np.random.Generator) -> dict[str, Comparison]:
    """A session of jobs of 40 episodes whose policy is what it was: 90 %, before and after."""
    before, after = rng.random((2, jobs, 40)) < 0.9
    falls, rises = (before & ~after).sum(axis=1), (~before & after).sum(axis=1)
    found = {}
    for index, (lost, won) in enumerate(zip(falls.tolist(), rises.tolist(), strict=True)):
        found[str(index)] = Comparison("success_rate", ComparisonVerdict.INCONCLUSIVE)
        found[str(index)].worse = paired_test(lost, won, 40, 0.05)
    return found


@pytest.mark.statistics
@pytest.mark.parametrize("method", ["holm", "e-bh"])
def test_sessions_of_equal_jobs_find_next_to_nothing(method: Method) -> None:
    """300 sessions of 100 comparisons whose p-values are the product's; alone nearly all would find some."""
    rng = np.random.default_rng(5)
    alone = together = 0
    for _ in range(300):
        comparisons = equal_runs(100, rng)
        alone += any(found.worse is not None and found.worse.rejects for found in comparisons.values())
        judged = judge_comparisons(comparisons, FamilyError(0.05, method))
        together += any(found["rejected"] for found in judged["comparisons"].values())
    assert alone / 300 > 0.6
    assert together / 300 <= 0.05 + 2 * 0.0126


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.05", FamilyError(0.05, "holm")),
        (" 0.01 Holm ", FamilyError(0.01, "holm")),
        ("0.1 e-bh", FamilyError(0.1, "e-bh")),
    ],
)
def test_family_errors(text: str, expected: FamilyError) -> None:
    assert FamilyError.parse(text) == expected


@pytest.mark.parametrize("text", ["5%", "0", "0.5", "nan", "0.05 bonferroni", ""])
def test_what_is_no_family_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a rate between 0 and 0\.5, and perhaps holm or e-bh"):
        FamilyError.parse(text)


def test_a_family_is_of_the_jobs_that_were_compared() -> None:
    records = {"a": compared("a", 0.001, 900.0), "b": compared("b", 0.04, 21.0), "c": record("c")}
    found = judge_family(records, FamilyError(0.05, "holm"))
    assert found["comparisons"] == {
        "a": {"p_value": 0.001, "e_value": 900.0, "rejected": True},
        "b": {"p_value": 0.04, "e_value": 21.0, "rejected": True},
    }
    found = judge_family({**records, "d": compared("d", 0.5, 1.5)}, FamilyError(0.05, "e-bh"))
    assert [label for label, f in found["comparisons"].items() if f["rejected"]] == ["a"]
