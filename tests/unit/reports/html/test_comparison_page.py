"""The page of ``compare --html``: what stands in it, and where it finds films."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pytest_arena.__main__ import main
from pytest_arena.records.json_files import read_json
from pytest_arena.reports.html.difference_picture import Axis, interval_picture
from pytest_arena.reports.html.film_pairs import MOST_PAIRS, film_pairs
from tests.compared_films import name_films
from tests.unit.commands.test_compare_command import BAD, EVEN, GOOD, make_run


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.source = path.read_text()
        self.words: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def of(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.tags if name == tag and wanted.items() <= found.items()]

    def films(self) -> list[str | None]:
        return [video["src"] for video in self.of("video")]


def touch(run: str, *paths: str) -> None:
    for path in paths:
        (Path(run) / path).parent.mkdir(exist_ok=True)
        (Path(run) / path).write_bytes(b"film")


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    runs = tmp_path / "runs"
    runs.mkdir()
    one = make_run(runs / "one", {"reach": GOOD, "push": GOOD, "old": GOOD})
    other = make_run(runs / "two", {"reach": BAD, "push": EVEN}, policy={"type": "random"})
    return one, other


def test_two_runs(two: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *two]) == 1
    plain = capsys.readouterr().out
    assert main(["compare", *two, "--html", str(tmp_path / "page.html")]) == 1
    assert capsys.readouterr().out == plain
    page = Page(tmp_path / "page.html")
    assert "B is worse than A in 1 of 2 jobs. The others: 1 inconclusive." in page.text
    assert page.text.index("What differs") < page.text.index("Jobs by success_rate")
    assert "configuration policy.type zero random all" in page.text
    assert "A succeeded 10 10 A failed 0 2" in page.text
    assert "10 succeeded only in A : episodes 10, 11, 12, 13, 14, 15, 16, 17, 18, 19" in page.text
    assert "worse (McNemar, one-sided p 0.00051, error rate 0.05)" in page.text
    assert "old : only in A" in page.text
    pictures = [svg["aria-label"] for svg in page.of("svg", role="img")]
    assert pictures[0] == "axis from -80 to 20 points"
    assert "B - A: -45.5 points (95% interval -64.3 to -20.0)" in pictures
    assert len(page.of("path", **{"class": "margin"})) == 2
    assert {section.get("id") for section in page.of("section")} >= {"job-reach", "job-push", "alone"}
    assert page.films() == []
    assert not [found for _, found in page.tags if found.keys() & {"style", "onclick", "onerror"}]


def test_films_of_both_side_by_side(two: tuple[str, str], tmp_path: Path) -> None:
    one, other = two
    films = [f"reach/videos/e{episode}-a b.mp4" for episode in (10, 11, 12)]
    touch(one, *films)
    touch(other, *films[:2])
    for run in two:
        name_films(Path(run), "reach", {10 + i: {"front": path} for i, path in enumerate(films)})
    for file, expected in (
        (tmp_path / "page.html", "runs/"),
        (tmp_path / "runs" / "page.html", ""),
        (tmp_path / "elsewhere" / "page.html", "../runs/"),
    ):
        file.parent.mkdir(exist_ok=True)
        assert main(["compare", *two, "--html", str(file)]) == 1
        page = Page(file)
        assert page.films() == [
            f"{expected}{run}/reach/videos/e{episode}-a%20b.mp4"
            for episode in (10, 11)
            for run in ("one", "two")
        ]
        for film in page.films():
            assert (file.parent / str(film).replace("%20", " ")).is_file()
    assert "1 file is missing: reach/videos/e12-a b.mp4" in page.text
    assert "episode 10, a success only in A ; camera front" in page.text
    assert all("controls" in video for video in page.of("video"))


def test_a_link_to_a_run_leads_to_the_run_itself(two: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("runs/two")
    (tmp_path / "runs" / "two" / "index.html").write_text("a page")
    main(["compare", two[0], str(tmp_path / "latest"), "--html", str(tmp_path / "page.html")])
    page = Page(tmp_path / "page.html")
    assert "runs/two/index.html" in [link["href"] for link in page.of("a")]


def test_episodes_that_differ_lead_to_the_page_of_the_second_run(
    two: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "pages").mkdir()
    (Path(two[1]) / "index.html").touch()
    assert main(["compare", *two, "--html", str(tmp_path / "pages" / "page.html")]) == 1
    page = Page(tmp_path / "pages" / "page.html")
    links = [str(link["href"]) for link in page.of("a")]
    assert [link for link in links if link.startswith("../runs/two/index.html#reach/")] == [
        f"../runs/two/index.html#reach/episode-{episode}" for episode in range(10, 20)
    ]


def test_a_ranking(tmp_path: Path) -> None:
    best, bad = [1] * 40, [1] * 12 + [0] * 28
    runs = [
        make_run(tmp_path / name, {"reach": successes, "push": best})
        for name, successes in (("one", bad), ("two", best), ("three", best))
    ]
    assert main(["compare", *runs, "--html", str(tmp_path / "page.html")]) == 0
    page = Page(tmp_path / "page.html")
    assert "Ranking of 3 runs" in page.text
    assert "at most 0.05, over all 6 pairs of 2 jobs (Holm; each p-value" in page.text
    reach = page.text.partition("reach success_rate , the higher the better.")[2]
    assert re.search(r"1 B a 100.0% 40 2 C a 100.0% 40 3 A b 30.0% 40", reach)
    assert "B - A yes +70.0 points" in reach
    assert f"compare {tmp_path}/two:reach {tmp_path}/one:reach --html FILE" in reach
    labels = [svg["aria-label"] for svg in page.of("svg", role="img")]
    assert "A: 30.0%, interval 18.1% to 45.4%" in labels


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", {"reach": GOOD})
    two = make_run(tmp_path / "two", {"reach": GOOD}, environment={"id": "Acrobot-v1"})
    assert main(["compare", one, two, "--html", str(tmp_path / "page.html")]) == 2
    page = Page(tmp_path / "page.html")
    assert "No job of 1 job is shown to be worse in B. The verdicts: 1 not comparable." in page.text
    assert "environment.id was 'CartPole-v1' in the baseline, is 'Acrobot-v1'" in page.text
    assert main(["compare", one, two, one, "--html", str(tmp_path / "page.html")]) == 2
    assert (
        "B is not ranked: environment.id is 'Acrobot-v1', and 'CartPole-v1' in A"
        in Page(tmp_path / "page.html").text
    )


def test_a_file_that_says_nothing_of_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"reach": {"success_rate": 1.0, "episodes_measured": 22}}')
    run = make_run(tmp_path / "run", {"reach": GOOD})
    main(["compare", str(tmp_path / "metrics.json"), run, "--html", str(tmp_path / "page.html")])
    page = Page(tmp_path / "page.html")
    assert "(a file that says nothing of its configuration)" in page.text
    assert "Nothing that these runs have recorded" in page.text
    assert "unpaired, 22 and 22 episodes" in page.text


HOSTILE = (
    '</script><script>alert("x")</script>',
    "'\" onload=alert(1) x='",
    "\u202egnitfel",
    "<img src=x onerror=alert(1)>",
)


def test_hostile_texts_are_text(tmp_path: Path) -> None:
    script, quotes, marks, image = HOSTILE
    one = make_run(tmp_path / "one", {"reach": GOOD}, language_instruction=quotes)
    two = make_run(tmp_path / "two", {"reach": BAD}, language_instruction=script)
    for run, text in ((one, marks), (two, image)):
        manifest = read_json(Path(run) / "run.json")
        manifest.update(versions={text: text, "odd": text * 500}, machine={"node": text})
        Path(run, "run.json").write_text(json.dumps(manifest))
        name_films(Path(run), "reach", {10: {image: "reach/videos/film.mp4", quotes: "../../etc/passwd"}})
        touch(run, "reach/videos/film.mp4")
    main(["compare", one, two, "--html", str(tmp_path / "page.html")])
    page = Page(tmp_path / "page.html")
    assert len(page.of("script")) == 1
    assert not page.of("img")
    assert not [found for _, found in page.tags if any(key.startswith("on") for key in found)]
    for text in (script, image, marks):
        assert text in "".join(page.words)
    assert page.films() == ["one/reach/videos/film.mp4", "two/reach/videos/film.mp4"]
    assert "1 path that leads out of the run directory, not followed" in page.text
    assert len(page.source) < 60_000


def test_a_page_that_cannot_be_written_is_one_line(
    two: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *two, "--html", str(tmp_path / "nowhere" / "page.html")]) == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.endswith("nowhere/page.html: it cannot be written: No such file or directory\n")


def test_of_many_episodes_some_films_are_shown() -> None:
    films = {episode: {"front": f"{episode}.mp4", "wrist": "w"} for episode in range(40)}
    pairs, left = film_pairs(range(30), range(30, 40), films, {**films, 3: {"wrist": "w"}, 4: {}})
    assert [pair.episode for pair in pairs if pair.camera == "wrist"] == [
        0,
        1,
        2,
        3,
        *range(5, 5 + MOST_PAIRS - 4),
    ]
    assert left == 39 - MOST_PAIRS
    assert [pair.camera for pair in pairs if pair.episode == 3] == ["wrist"]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, -0.72, -0.1, 0.05], [-80, -60, -40, -20, 0, 20]),
        ([0.0, 0.0], [-60, -40, -20, 0, 20, 40, 60]),
        ([0.0, float("nan"), 1.0], [0, 20, 40, 60, 80, 100]),
        ([], [0, 20, 40, 60, 80, 100]),
        ([0.001, 0.0013], [0.1, 0.11, 0.12, 0.13]),
    ],
)
def test_an_axis_has_round_numbers(values: list[float], ticks: list[float]) -> None:
    axis = Axis.over(values, rate=True)
    assert [float(axis.text(tick)) for tick in axis.ticks] == pytest.approx(ticks)
    assert axis.low <= min([v for v in values if v == v], default=0.0)


@pytest.mark.parametrize("value", [1e-300, -1e300, 5.0])
def test_an_axis_of_any_size(value: float) -> None:
    axis = Axis.over([value], rate=False)
    assert axis.low < value < axis.high
    assert 'cx="' in interval_picture(axis, value, None, about="<b>", kind="pass")
    assert "&lt;b&gt;" in interval_picture(axis, value, None, about="<b>", kind="pass")


@pytest.mark.parametrize("name", ["run.json", "reach/episodes.jsonl", "index.html", "notes.md"])
def test_no_other_file_is_replaced(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is mistyped costs no results."""
    runs = [make_run(tmp_path / "one", {"reach": GOOD}), make_run(tmp_path / "two", {"reach": GOOD})]
    assert main(["report", runs[0]]) == 0
    file = tmp_path / "one" / name
    before = file.read_bytes() if file.exists() else b"mine"
    file.write_bytes(before)
    capsys.readouterr()
    assert main(["compare", *runs, "--html", str(file)]) == 4
    assert capsys.readouterr().err.endswith(
        f"compare: error: --html {file}: it cannot be written: another file has its name\n"
    )
    assert file.read_bytes() == before


def test_a_page_is_written_over_itself(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "one", {"reach": GOOD}), make_run(tmp_path / "two", {"reach": GOOD})]
    for _ in range(2):
        assert main(["compare", *runs, "--html", str(tmp_path / "page.html")]) == 2


def test_each_address_is_there_once(tmp_path: Path) -> None:
    names = ["a", "a-title", "differences", "alone", "job-a"]
    runs = [make_run(tmp_path / run, dict.fromkeys([*names, run], GOOD)) for run in ("one", "two", "three")]
    for compared in (runs[:2], runs):
        main(["compare", *compared, "--html", str(tmp_path / "page.html")])
        ids = [attributes["id"] for _, attributes in Page(tmp_path / "page.html").tags if "id" in attributes]
        assert len(ids) == len({*ids})
        assert {f"job-{name}" for name in names} <= {*ids}
