"""``python -m pytest_arena plan``: the tables that a planner needs, and clear refusals."""

from __future__ import annotations

import pytest

from pytest_arena.__main__ import main


def printed(capsys: pytest.CaptureFixture[str], *argv: str) -> list[list[str]]:
    assert main(["plan", *argv]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_boundary_and_power(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "--threshold", "0.8", "--episodes-max", "100")
    boundary = [line for line in lines if len(line) == 3]
    assert boundary[:3] == [["10", "never", "3"], ["20", "never", "10"], ["30", "29", "18"]]
    assert boundary[-1] == ["100", "88", "71"]
    assert ["0.8", "0.048", "0.045", "0.907", "96.5"] in lines
    assert ["1", "1.000", "0.000", "0.000", "30.0"] in lines
    assert "a true rate of 0.8 or less passes in at most 5% of runs" in [" ".join(line) for line in lines]


@pytest.mark.parametrize("text", ["0.8", ">= 0.8", "> 80%", " 80% "])
def test_ways_to_write_a_threshold(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = printed(capsys, "--threshold", text, "--episodes-max", "50")[0]
    assert first[:3] == ["success_rate", ">=", "0.8,"]


def test_at_most(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "--threshold", "<= 0.2", "--episodes-max", "100")
    assert ["100", "12", "29"] in lines
    assert ["after", "pass", "up", "to", "fail", "from"] in lines


def test_every_setting_counts(capsys: pytest.CaptureFixture[str]) -> None:
    base = ["--threshold", "0.8", "--episodes-max", "100"]
    found = [printed(capsys, *base)]
    for more in (
        ["--confidence", "0.9"],
        ["--beta", "0.2"],
        ["--look-every", "20"],
        ["--method", "e_process"],
    ):
        found.append(printed(capsys, *base, *more))
    assert all(a != b for i, a in enumerate(found) for b in found[:i])


@pytest.mark.parametrize(("budget", "every"), [("2000", "1"), ("20000", "100")])
def test_a_long_boundary_is_shown_in_part(
    budget: str, every: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(capsys, "--threshold", "0.8", "--episodes-max", budget, "--look-every", every)
    shown = [line for line in lines if len(line) == 3]
    assert len(shown) == 20
    assert shown[-1][0] == budget


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--threshold", "0.8", "--episodes-max", "13"], "expected at least 14, got 13: with so few episodes the test can never pass"),
        (["--threshold", "0.1", "--episodes-max", "28"], "expected at least 29, got 28: with so few episodes the test can never fail"),
        (["--threshold", "0.2..0.4", "--episodes-max", "50"], "expected one bound between 0 and 1, such as 0.8"),
        (["--threshold", ">= 80", "--episodes-max", "50"], "expected one bound between 0 and 1, such as 0.8"),
        (["--threshold", "1", "--episodes-max", "50"], "expected one bound between 0 and 1"),
        (["--threshold", "much", "--episodes-max", "50"], 'such as 0.8, ">= 80%" or "<= 0.05", got'),
        (["--threshold", "0.8", "--episodes-max", "none"], "expected an integer from 1 to 100000, got 'none'"),
        (["--threshold", "0.8", "--episodes-max", "9", "--beta", "2"], "--beta: expected at most 0.5, got 2.0"),
        (["--threshold", "0.8", "--episodes-max", "50", "--beta", "0.6"], "--beta: expected at most 0.5, got 0.6"),
        (["--threshold", "0.8", "--episodes-max", "50", "--beta", "nan"], "--beta: expected a finite number, got nan"),
        (["--threshold", "0.8", "--episodes-max", "50", "--confidence", "0.4"], "--confidence: expected at least 0.5, got 0.4"),
        (["--threshold", "0.8"], "required: --episodes-max"),
    ],
)  # fmt: skip
def test_refusals(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["plan", *argv]))
    assert ended.value.code == 4
    assert words in " ".join(capsys.readouterr().err.split())
