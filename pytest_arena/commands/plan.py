"""``python -m pytest_arena plan``: what a gate will do, before anything is simulated."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from pytest_arena.errors import ArenaError
from pytest_arena.gate.boundaries import Characteristics, looks_of
from pytest_arena.gate.describe import percent
from pytest_arena.gate.sequential_test import SequentialTest
from pytest_arena.jobs.messages import plain_error
from pytest_arena.jobs.sections import Gate
from pytest_arena.jobs.threshold import Threshold

ROWS = 20
"""Looks of the boundary that are shown; with more of them, evenly chosen ones."""

_EXPECTED = 'expected one bound between 0 and 1, such as 0.8, ">= 80%" or "<= 0.05"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take what a job's ``gate`` takes, and the threshold."""
    add = parser.add_argument
    add("--threshold", required=True, help='such as 0.8, ">= 80%%" or "<= 0.05"')
    add("--episodes-max", type=_episodes, required=True, metavar="N", help="the budget")
    add("--confidence", type=float, default=0.95, metavar="C", help="1 - P(false PASS) (0.95)")
    add("--beta", type=float, metavar="B", help="P(false FAIL) (1 - confidence)")
    add("--look-every", type=_episodes, default=10, metavar="N", help="episodes between looks (10)")
    add("--method", choices=("spending", "e_process"), default="spending", help="(spending)")


def run(arguments: argparse.Namespace) -> int:
    """Print the boundary, and power and mean episodes over a range of true rates."""
    test = _test(arguments)
    needed = {"pass": test.fewest_to_pass(), "fail": test.fewest_to_fail()}
    print("\n".join(_describe(test, needed)))
    never = [verdict for verdict, episodes in needed.items() if episodes > arguments.episodes_max]
    if never:
        raise ArenaError(
            f"--episodes-max: expected at least {max(needed.values())}, got {arguments.episodes_max}: with "
            f"so few episodes the test can never {' or '.join(never)}"
        )
    print()
    print("\n".join(_table(("after", *_headings(test)), _boundary(test))))
    print()
    heads = ("true rate", "P(pass)", "P(fail)", "P(inconclusive)", "mean episodes")
    print("\n".join(_table(heads, (_row(rate, test.characteristics(rate)) for rate in _rates(test.bound)))))
    return 0


def _test(arguments: argparse.Namespace) -> SequentialTest:
    text = str(arguments.threshold)
    try:
        threshold = Threshold.parse(text if text.strip()[:1] in "<>" else f">= {text}")
    except ValueError as error:
        raise ArenaError(f"--threshold: {_EXPECTED}, got {text!r}") from error
    if not threshold.one_sided or not any(0.0 < bound < 1.0 for bound in (threshold.low, threshold.high)):
        raise ArenaError(f"--threshold: {_EXPECTED}, got {text!r}")
    gate = _gate(arguments)
    looks = looks_of(gate.episodes_max, gate.look_every)
    return SequentialTest.of(threshold, gate.alpha, gate.beta, looks, gate.method)


def _gate(arguments: argparse.Namespace) -> Gate:
    """Return the gate that a job would have: what that refuses is refused here."""
    keys = ("confidence", "beta", "episodes_max", "look_every", "method")
    try:
        return Gate.model_validate({key: getattr(arguments, key) for key in keys})
    except ValidationError as error:
        (key, *_), text = plain_error(error, Gate)
        raise ArenaError(f"--{str(key).replace('_', '-')}: {text}") from None


def _describe(test: SequentialTest, needed: dict[str, int]) -> Iterator[str]:
    sign, wrong, right = (">=", "less", "more") if test.at_least else ("<=", "more", "less")
    yield f"success_rate {sign} {test.bound:g}, at most {test.looks[-1]} episodes, {test.method}"
    yield f"a true rate of {test.bound:g} or {wrong} passes in at most {percent(test.alpha)} of runs"
    yield f"a true rate of {test.bound:g} or {right} fails in at most {percent(test.beta)} of runs"
    yield f"the smallest budget that can pass: {needed['pass']}, that can fail: {needed['fail']}"


def _headings(test: SequentialTest) -> tuple[str, str]:
    return ("pass from", "fail up to") if test.at_least else ("pass up to", "fail from")


def _boundary(test: SequentialTest) -> Iterator[tuple[str, ...]]:
    looks = list(zip(test.looks, test.pass_at(), test.fail_at(), strict=True))
    shown = min(ROWS, len(looks))
    for index in range(shown):
        # The last one is always among them.
        n, passes, fails = looks[(index + 1) * len(looks) // shown - 1]
        yield (str(n), *("never" if count is None else str(count) for count in (passes, fails)))


def _rates(bound: float) -> list[float]:
    """Return rates around the bound, in steps that are read easily: of 0.05, or of 0.01 near 0 and 1."""
    step = 0.05 if 0.2 <= bound <= 0.85 else 0.01
    around = [round(bound + step * offset, 6) for offset in range(-5, 6)]
    return sorted({rate for rate in around if 0.0 <= rate <= 1.0} | ({1.0} if bound > 0.5 else {0.0}))


def _row(rate: float, found: Characteristics) -> tuple[str, ...]:
    chances = (f"{chance:.3f}" for chance in (found.passing, found.failing, found.inconclusive))
    return (f"{rate:g}", *chances, f"{found.mean_episodes:.1f}")


def _table(headings: Sequence[str], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    lines = [tuple(headings), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        yield "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))


def _episodes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"expected an integer from 1 to 100000, got {text!r}")
    return int(text)
