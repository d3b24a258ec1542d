"""The cases that stand for a whole matrix."""

from __future__ import annotations

import itertools

import pytest

from tests.integration.test_fault_matrix import FACTORS
from tests.pairwise import pairs_of, pairwise


@pytest.mark.parametrize("factors", [FACTORS, ["ab", "cd"], ["abc", "de", "fghi", "jkl"], ["abc"] * 5])
def test_all_pairs_are_covered(factors: list[list[str]]) -> None:
    cases, whole = pairwise(*factors), list(itertools.product(*factors))
    assert {pair for case in cases for pair in pairs_of(case)} == {
        p for case in whole for p in pairs_of(case)
    }
    assert set(cases) <= set(whole)
    assert cases == pairwise(*factors), "the same ones each time"


@pytest.mark.parametrize(("factors", "most"), [(FACTORS, 3 * len(FACTORS[0])), (["abc"] * 5, 18)])
def test_by_few_cases(factors: list[list[str]], most: int) -> None:
    assert len(pairwise(*factors)) <= most
