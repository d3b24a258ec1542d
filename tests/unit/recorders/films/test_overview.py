"""The overview of a job: the right films in the right places, and nothing that can hurt an evaluation."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from pytest_arena import Episode, JobRecord, Outcome, Status, VideoRecorder, evaluate
from pytest_arena.recorders.films import overview
from pytest_arena.recorders.films.mp4 import FilmFormat, Mp4File
from pytest_arena.recorders.films.overview import (
    HEADER_HEIGHT,
    LABEL_HEIGHT,
    SECONDS_AT_END,
    add_overview,
    label,
)
from pytest_arena.records.attempt import Attempt
from pytest_arena.records.disk_space import LEFT_TO_RESULTS
from pytest_arena.records.film_names import OVERVIEW
from pytest_arena.records.run_directory import JobDirectory, RunDirectory
from tests.jobs import make_job

FILM, POSTER, PREVIEW = OVERVIEW.values()
S, F, U, E = Outcome.SUCCESS, Outcome.FAILURE, Outcome.UNKNOWN, Outcome.ERROR


def episode(number: int, outcome: Outcome, length: int = 5, videos: dict[str, str] | None = None) -> Episode:
    return Episode(
        job="job", attempt=1, rebuild=0, episode=number, seed=2**32 - 1 - number, env_idx=0, start_step=0,
        end_step=length - 1, length=length, outcome=outcome, success_once=None, success_at_end=None,
        success_at_reset=None, return_=0.0, end_reason="", started_at="", wall_time_seconds=0.0,
        videos=videos or {},
    )  # fmt: skip


def film(run_dir: Path, number: int, outcome: Outcome, length: int = 5, **how: Any) -> Episode:
    """An episode with a film whose green is its number and whose red is its step."""
    width, height = how.get("size", (160, 120))
    path = run_dir / f"job/videos/episode-{number:04d}.mp4"
    mp4 = Mp4File(path, FilmFormat(how.get("fps", 10)))
    for step in range(length + 1):
        image = np.empty((height, width, 3), np.uint8)
        image[:] = (min(20 + 10 * step, 255), min(20 + 20 * number, 255), 128)
        mp4.write(image)
    mp4.publish(length + 1)
    mp4.drop()
    return episode(
        number, outcome, length, {"front": path.relative_to(run_dir).as_posix(), "wrist": "none.mp4"}
    )


def make(run_dir: Path, episodes: list[Episode]) -> JobRecord:
    (run_dir / "job").mkdir(exist_ok=True)
    record = JobRecord("job", 1, "", "gymnasium", "env", "zero")
    attempt = Attempt(RunDirectory(run_dir), JobDirectory(run_dir / "job", 1), record)
    add_overview(attempt, episodes)
    record.notes = attempt._notes["rollout"]  # as its next save does
    return record


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as opened:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in opened.decode(video=0)]


def told(picture: np.ndarray, line: int, column: int, height: int = 120) -> tuple[int, int]:
    """Step and number of the film in a place of a grid of tiles that are 160 wide."""
    top, left = HEADER_HEIGHT + line * (height + LABEL_HEIGHT), column * 160
    red, green, _ = picture[top + 20 : top + height - 20, left + 20 : left + 140].reshape(-1, 3).mean(axis=0)
    return round((red - 17) / 10), round((green - 17) / 20)  # encoded twice, colours are a little darker


def test_a_grid_of_films_failures_first(tmp_path: Path) -> None:
    episodes = [
        film(tmp_path, 0, S, 6),
        film(tmp_path, 3, F, 20),
        film(tmp_path, 1, U, 3),
        episode(4, F),
        film(tmp_path, 2, F, 10),
    ]
    record = make(tmp_path, episodes)
    assert record.notes == []
    assert record.overview == {"film": f"job/{FILM}", "poster": f"job/{POSTER}", "preview": f"job/{PREVIEW}"}
    assert record.timings["overview_seconds"] > 0
    assert sorted(p.name for p in (tmp_path / "job").iterdir()) == sorted([FILM, POSTER, PREVIEW, "videos"])

    path = tmp_path / "job" / FILM
    with av.open(str(path)) as opened:
        stream = opened.streams.video[0]
        assert stream.average_rate == 10
        assert stream.frames == 21 + 10 * SECONDS_AT_END
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.width, stream.height) == (320, HEADER_HEIGHT + 2 * (120 + LABEL_HEIGHT))
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    found = [[told(picture, *place) for place in places] for picture in pictures(path)]
    for k, tiles in enumerate(found):
        assert tiles == [(min(k, 3), 1), (min(k, 10), 2), (min(k, 20), 3), (min(k, 6), 0)], k
    poster = np.asarray(Image.open(tmp_path / "job" / POSTER)).astype(int)
    assert [told(poster, *place) for place in places] == found[-1]
    with Image.open(tmp_path / "job" / PREVIEW) as preview:
        assert preview.n_frames == 11  # every second of 0 … 20
        assert preview.size[0] <= overview.PREVIEW_WIDTH


def test_films_of_other_sizes_and_rates(tmp_path: Path) -> None:
    """A fast small one and a slow large one run side by side in real time."""
    episodes = [
        film(tmp_path, 0, F, 20, fps=20, size=(64, 48)),
        film(tmp_path, 1, F, 10, fps=10, size=(320, 160)),
    ]
    record = make(tmp_path, episodes)
    assert record.notes == []
    found = pictures(tmp_path / record.overview["film"])
    assert len(found) == 15 + 1 + 15
    for k in (0, 5, 10, 15, 30):
        picture, height = found[k], found[k].shape[0] - HEADER_HEIGHT - LABEL_HEIGHT
        middle = HEADER_HEIGHT + height // 2
        small, large = picture[middle, 160] - 20, picture[middle, 480] - 20
        seconds = min(k, 15) / 15
        assert small[0] / 10 == pytest.approx(int(20 * seconds + 1e-6), abs=0.5)
        assert large[0] / 10 == pytest.approx(int(10 * seconds + 1e-6), abs=0.5)
    assert found[0].shape[1] == 640


@pytest.mark.parametrize(
    ("lengths", "rates"),
    [
        ([5], [20]),
        ([1], [10]),
        ([0], [10]),
        ([5, 5, 5, 5], [20, 20, 20, 20]),
        ([40, 100], [20, 10]),
        ([100], [5]),
        ([3, 2], [1, 1]),
        ([6, 6], [Fraction(1, 4), Fraction(5, 2)]),
        ([300, 20], [60, 10]),
        ([300], [Fraction(30000, 1001)]),
        ([5] * 20, [20] * 20),
    ],
    ids=str,
)
def test_it_never_costs_more_than_its_films(tmp_path: Path, lengths: list[int], rates: list[Any]) -> None:
    """It has at most as many pictures, and takes at most as long to see; and each film is seen to its end."""
    episodes = [
        film(tmp_path, i, F, n, fps=fps) for i, (n, fps) in enumerate(zip(lengths, rates, strict=True))
    ]
    record = make(tmp_path, episodes)
    assert record.notes == []
    found = pictures(tmp_path / record.overview["film"])
    seen = list(zip(lengths, rates, strict=True))[: overview.TILES_MAX]
    assert len(found) <= sum(n + 1 for n, _ in seen)
    with av.open(str(tmp_path / record.overview["film"])) as opened:
        rate = opened.streams.video[0].average_rate
    assert len(found) / float(rate) <= sum((n + 1) / float(fps) for n, fps in seen) * 1.02
    if len(seen) <= 2 and max(lengths) < 22:
        assert [told(found[-1], 0, i)[0] for i in range(len(seen))] == lengths


def test_long_films_are_shown_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "SECONDS_MAX", 1)
    record = make(tmp_path, [film(tmp_path, 0, F, 20), film(tmp_path, 1, S, 8)])
    found = pictures(tmp_path / record.overview["film"])
    assert len(found) == 10 + 1 + 10
    assert [told(picture, 0, 0)[0] for picture in found[:11]] == [2 * k for k in range(11)]
    assert [told(picture, 0, 1)[0] for picture in found[:11]] == [min(2 * k, 8) for k in range(11)]


def test_not_more_tiles_than_can_be_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "TILES_MAX", 2)
    record = make(tmp_path, [film(tmp_path, i, S if i < 2 else F, 2) for i in range(4)])
    last = pictures(tmp_path / record.overview["film"])[-1]
    assert [told(last, 0, column)[1] for column in range(2)] == [2, 3]
    assert last.shape[:2] == (HEADER_HEIGHT + 120 + LABEL_HEIGHT, 320)


def test_one_film(tmp_path: Path) -> None:
    record = make(tmp_path, [film(tmp_path, 1, S, 1, size=(50, 34))])
    last = pictures(tmp_path / record.overview["film"])[-1]
    assert last.shape[1] == overview.TILE_WIDTH_MIN
    assert told(last, 0, 0, height=last.shape[0] - HEADER_HEIGHT - LABEL_HEIGHT) == (1, 1)


def test_a_film_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    good, bad = film(tmp_path, 1, S), film(tmp_path, 2, F)
    (tmp_path / bad.videos["front"]).write_bytes(b"no film")
    record = make(tmp_path, [good, bad])
    assert record.notes == []
    assert told(pictures(tmp_path / record.overview["film"])[-1], 0, 0) == (5, 1)


def test_without_films_there_is_none(tmp_path: Path) -> None:
    record = make(tmp_path, [episode(0, F), episode(1, E, videos={"front": "job/videos/lost.mp4"})])
    assert record.overview == {}
    assert record.notes == []
    assert list((tmp_path / "job").iterdir()) == []


def test_a_failure_is_a_note_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = [film(tmp_path, 0, F)]
    make(tmp_path, episodes)
    before = {p.name: p.read_bytes() for p in (tmp_path / "job").iterdir() if p.is_file()}
    monkeypatch.setattr(overview, "_small", lambda picture: 1 / 0)
    record = make(tmp_path, episodes)
    assert record.notes == ["no overview film: ZeroDivisionError: division by zero"]
    assert record.overview == {}
    assert {p.name: p.read_bytes() for p in (tmp_path / "job").iterdir() if p.is_file()} == before


@pytest.fixture
def least_room(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that were free on the small disk while an overview was written: after each picture and the last."""
    free: list[int] = []
    writer = overview._film_writer()

    class Watched(writer):  # type: ignore[misc,valid-type]
        def write_frame(self, picture: Any) -> None:
            super().write_frame(picture)
            free.append(shutil.disk_usage(small_disk).free)

        def close(self) -> None:
            super().close()
            free.append(shutil.disk_usage(small_disk).free)

    monkeypatch.setattr(overview, "_film_writer", lambda: Watched)
    return free


def noise(run_dir: Path, length: int = 60) -> Episode:
    """An episode whose film cannot be compressed."""
    mp4, rng = Mp4File(run_dir / "noise.mp4", FilmFormat(15)), np.random.default_rng(0)
    for _ in range(length + 1):
        mp4.write(rng.integers(0, 255, (160, 160, 3), np.uint8))
    mp4.publish(length + 1)
    mp4.drop()
    return episode(0, F, length, {"front": str(run_dir / "noise.mp4")})


@pytest.mark.parametrize("room", [0, 20, 40, 100, 200, 400, 700])
def test_it_leaves_the_last_of_a_disk_to_the_results(
    tmp_path: Path, small_disk: Path, least_room: list[int], room: int
) -> None:
    """In KiB, *room* is what there is beside that; the overview takes more."""
    episodes = [noise(tmp_path)]
    filler = shutil.disk_usage(small_disk).free - LEFT_TO_RESULTS - room * 1024
    (small_disk / "filler").write_bytes(bytes(filler))
    record = make(small_disk, episodes)
    (note,) = record.notes
    assert note.startswith("no overview film: OSError: ")
    assert f"{os.strerror(errno.ENOSPC)}, but for 1 MiB that is left to the results" in note
    assert record.overview == {}
    assert list((small_disk / "job").iterdir()) == []
    assert (room >= 40) == bool(least_room), "with some room it is begun"
    assert all(free >= LEFT_TO_RESULTS for free in least_room)


@pytest.mark.parametrize("kind", [POSTER, PREVIEW])
def test_its_pictures_leave_the_last_of_a_disk_to_the_results(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The film has come to its end, and somebody else fills the disk."""
    save = overview._save

    def filled(path: Path, *args: Any, **how: Any) -> None:
        if path.name.endswith(kind):
            free = shutil.disk_usage(small_disk).free
            (small_disk / "filler").write_bytes(bytes(free - LEFT_TO_RESULTS - 4096))
        save(path, *args, **how)
        assert shutil.disk_usage(small_disk).free >= LEFT_TO_RESULTS

    monkeypatch.setattr(overview, "_save", filled)
    record = make(small_disk, [noise(tmp_path, 2)])
    (note,) = record.notes
    assert os.strerror(errno.ENOSPC) in note
    assert list((small_disk / "job").iterdir()) == []


def test_a_disk_without_bounds_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems of clusters and clouds say that they have more room than a limit of Linux can be."""
    monkeypatch.setattr(overview, "room", lambda directory: 2**64)
    record = make(tmp_path, [film(tmp_path, 0, F)])
    assert (record.notes, len(record.overview)) == ([], 3)


def test_with_room_enough_a_small_disk_has_one(tmp_path: Path, small_disk: Path) -> None:
    record = make(small_disk, [noise(tmp_path, 2)])
    assert record.notes == []
    assert len(pictures(small_disk / record.overview["film"])) == 3


def unfaithful(number: int, length: int) -> Episode:
    return replace(episode(number, F, length), videos_note="not repeated")


def test_labels_tell_outcomes_apart_and_fit(tmp_path: Path) -> None:
    labels = [label(episode(7, outcome, 500), 160) for outcome in (S, F, U, E)]
    labels.append(label(unfaithful(7, 500), 160))
    assert len({made.tobytes() for made in labels}) == 5
    for made in labels:
        assert made.shape == (LABEL_HEIGHT, 160, 3)
        assert (made[:, -2:] == made[0, 0]).all(), "the text ends before the edge"
        assert (made[:, 34:] != made[0, 0]).any()


@pytest.mark.parametrize("made", [episode(7, F, 500), unfaithful(7, 500), unfaithful(7, 5)])
def test_labels_hold_the_seed(made: Episode) -> None:
    """The longest seeds have ten digits; they fit into the narrowest tile."""
    first, second = (label(replace(made, seed=seed), 160) for seed in (2**32 - 1, 2**32 - 2))
    changed = np.argwhere((first != second).any(axis=2))
    assert len(changed) > 0, "that is all they differ in"
    assert changed[:, 0].min() > LABEL_HEIGHT // 2, "it stands in the second line"
    assert (first[:, -2:] == first[0, 0]).all(), "the text ends before the edge"


def test_labels_hold_the_length_wherever_it_fits() -> None:
    for made in (episode(7, F, 500), unfaithful(7, 500)):
        assert (label(made, 320) != label(replace(made, length=501), 320)).any()
    made = replace(unfaithful(7, 5), seed=42)
    assert (label(made, 160)[:, -2:] == label(made, 160)[0, 0]).all()
    assert (label(made, 160) != label(replace(made, length=6), 160)).any()


def test_an_episode_without_a_seed_has_none_on_its_label(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(overview, "_write", lambda draw, at, text, *how: written.append(text))
    label(replace(episode(7, S, 1), seed=None), 160)
    assert written == ["episode 7: success", "1 step"]


def test_the_colour_of_a_mark_is_that_of_its_outcome() -> None:
    """Right at its edge, where no sign is drawn on it."""
    green, vermilion = (0, 158, 115), (213, 94, 0)
    colours = [tuple(label(episode(7, outcome), 160)[10, 9].tolist()) for outcome in (S, F, U, E)]
    assert colours[:2] == [green, vermilion]
    assert green not in colours[2:]
    assert vermilion not in colours[2:]
    signs = [label(episode(7, outcome), 160)[9:28, 8:27].min(axis=2) > 200 for outcome in (S, F, U)]
    assert len({sign.tobytes() for sign in signs}) == 3, "who sees no colours sees a tick, a cross and a dash"
    assert all(sign.any() for sign in signs)


def job(video: str = "on") -> Any:
    environment = {"id": "tests.registered:arena/Scripted-v0", "cameras": {"render": {}}, "num_envs": 2}
    return make_job(environment=environment, record={"video": video})


def test_an_evaluation_makes_one(tmp_path: Path) -> None:
    record = evaluate(job(), output=tmp_path, recorders=[VideoRecorder("on")])
    assert record.status == Status.COMPLETED
    (run,) = (path for path in tmp_path.iterdir() if not path.is_symlink())
    assert len(record.overview) == 3
    assert all((run / path).exists() for path in record.overview.values())
    assert 0 < record.timings["overview_seconds"] < record.timings["total_seconds"]
    without = evaluate(job("off"), output=tmp_path / "off")
    assert without.overview == {}
    assert "overview_seconds" not in without.timings


def test_a_job_may_do_without(tmp_path: Path) -> None:
    made = make_job(environment=job().environment.model_dump(), record={"video": "on", "overview": False})
    record = evaluate(made, output=tmp_path, recorders=[VideoRecorder("on")])
    assert (len(record.videos), record.overview, record.notes) == (4, {}, [])
    assert "overview_seconds" not in record.timings
    assert not list(tmp_path.rglob("overview*"))


def test_an_evaluation_stands_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "_film_writer", lambda: 1 / 0)
    record = evaluate(job(), output=tmp_path, recorders=[VideoRecorder("on")])
    assert record.status == Status.COMPLETED
    assert record.notes == ["no overview film: ZeroDivisionError: division by zero"]
    assert len(record.videos) == 4
