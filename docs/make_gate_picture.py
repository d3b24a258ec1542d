"""Draw ``images/gate.svg``: the boundary of a gate, and the paths of two policies that were tested with it.

    python docs/make_gate_picture.py

The boundary is the one that a job with this gate has. The paths are simulated with fixed seeds, for policies
whose true rates are known, so that the verdicts can be judged.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pytest_arena.gate.boundaries import looks_of
from pytest_arena.gate.sequential_test import SequentialTest

PICTURE = Path(__file__).parent / "images" / "gate.svg"
TEST = SequentialTest(0.8, True, 0.05, 0.05, looks_of(100, 10))
POLICIES = ((0.93, "#1a7f37", 3), (0.65, "#cf222e", 23))
"""True rate, colour, seed."""
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 400, 60, 740, 30, 350
LOWEST, HIGHEST = -16.0, 14.0
"""Of the vertical axis: successes more than the threshold asks for."""


def main() -> None:
    """Write the picture."""
    parts = [*regions(), *axes()]
    for rate, colour, seed in POLICIES:
        parts += path(rate, colour, seed)
    style = "text{font:13px sans-serif;fill:#24292f}"
    PICTURE.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">\n'
        f"<title>Boundary of a gate and two paths</title>\n<style>{style}</style>\n"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def x(episodes: float) -> float:
    """Return where so many episodes are."""
    return round(LEFT + (RIGHT - LEFT) * episodes / TEST.looks[-1], 1)


def y(episodes: float, successes: float) -> float:
    """Return where so many successes of so many episodes are: above or below 0.8 of them."""
    surplus = min(max(successes - TEST.bound * episodes, LOWEST), HIGHEST)
    return round(BOTTOM - (BOTTOM - TOP) * (surplus - LOWEST) / (HIGHEST - LOWEST), 1)


def line(points: list[tuple[float, float]]) -> str:
    """Return points as SVG wants them."""
    return " ".join(f"{across:g},{up:g}" for across, up in points)


def regions() -> list[str]:
    """Return what passes, what fails, and the marks of every look."""
    passes = [(n, c) for n, c in zip(TEST.looks, TEST.pass_at(), strict=True) if c is not None]
    fails = [(n, d) for n, d in zip(TEST.looks, TEST.fail_at(), strict=True) if d is not None]
    upper, lower = ([(x(n), y(n, c)) for n, c in side] for side in (passes, fails))
    parts = [
        f'<polygon points="{line([*upper, (x(100), TOP), (upper[0][0], TOP)])}" fill="#dafbe1"/>',
        f'<polygon points="{line([*lower, (x(100), BOTTOM), (lower[0][0], BOTTOM)])}" fill="#ffebe9"/>',
        f'<line x1="{x(0)}" y1="{y(0, 0)}" x2="{x(100)}" y2="{y(0, 0)}" stroke="#8c959f" '
        'stroke-dasharray="4 4"/>',
    ]
    for side, count, above, colour in ((upper, passes, True, "#1a7f37"), (lower, fails, False, "#cf222e")):
        for (across, up), (_, successes) in zip(side, count, strict=True):
            parts.append(f'<circle cx="{across}" cy="{up}" r="3.5" fill="{colour}"/>')
            shift = -9 if above else 19
            place = across - 12 if across == RIGHT else across
            parts.append(f'<text x="{place}" y="{up + shift}" text-anchor="middle">{successes}</text>')
    middle = (x(0) + x(100)) / 2
    parts += [
        f'<text x="{middle}" y="{TOP + 16}" text-anchor="middle" font-weight="bold">PASS</text>',
        f'<text x="{middle}" y="{BOTTOM - 8}" text-anchor="middle" font-weight="bold">FAIL</text>',
        f'<text x="{x(100) - 6}" y="{y(0, 0) + 18}" text-anchor="end">undecided: go on</text>',
    ]
    return parts


def axes() -> list[str]:
    """Return the frame, the looks along it, and what the axes are."""
    parts = [
        f'<rect x="{LEFT}" y="{TOP}" width="{RIGHT - LEFT}" height="{BOTTOM - TOP}" fill="none" '
        'stroke="#57606a"/>'
    ]
    for n in (0, *TEST.looks):
        parts.append(f'<line x1="{x(n)}" y1="{BOTTOM}" x2="{x(n)}" y2="{BOTTOM + 5}" stroke="#57606a"/>')
        parts.append(f'<text x="{x(n)}" y="{BOTTOM + 20}" text-anchor="middle">{n}</text>')
    for surplus in (-10, 0, 10):
        up = y(0, surplus)
        parts.append(f'<line x1="{LEFT - 5}" y1="{up}" x2="{LEFT}" y2="{up}" stroke="#57606a"/>')
        parts.append(
            f'<text x="{LEFT - 9}" y="{up + 4}" text-anchor="end">{surplus:+d}</text>'.replace("+0", "0")
        )
    middle = (TOP + BOTTOM) / 2
    parts += [
        f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">'
        "episodes, in their order</text>",
        f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">'
        "successes, less 0.8 of the episodes</text>",
    ]
    return parts


def path(rate: float, colour: str, seed: int) -> list[str]:
    """Return the path of a policy up to the look that decides."""
    outcomes = np.random.default_rng(seed).random(TEST.looks[-1]) < rate
    counts = np.cumsum(outcomes)
    for n, passes, fails in zip(TEST.looks, TEST.pass_at(), TEST.fail_at(), strict=True):
        successes = int(counts[n - 1])
        passed = passes is not None and successes >= passes
        failed = fails is not None and successes <= fails
        if passed or failed or n == TEST.looks[-1]:
            break
    verdict = "PASS" if passed else "FAIL" if failed else "INCONCLUSIVE"
    points = [(x(0), y(0, 0))] + [(x(k + 1), y(k + 1, int(counts[k]))) for k in range(n)]
    end = points[-1]
    return [
        f'<polyline points="{line(points)}" fill="none" stroke="{colour}" stroke-width="2"/>',
        f'<circle cx="{end[0]}" cy="{end[1]}" r="6" fill="none" stroke="{colour}" stroke-width="2"/>',
        f'<text x="{end[0] + 12}" y="{end[1] + (24 if passed else -10)}" fill="{colour}">'
        f"true rate {rate:g}: {verdict} after {n}, {successes} successes</text>",
    ]


if __name__ == "__main__":
    main()
