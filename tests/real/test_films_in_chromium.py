"""Films as people look at them: played to their end by a browser, every frame of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pytest_arena import VideoRecorder, evaluate
from pytest_arena.jobs.sections import VideoCodec
from pytest_arena.recorders.films.encoder import Encoder
from pytest_arena.recorders.films.film import Film
from pytest_arena.recorders.films.mp4 import FilmFormat
from pytest_arena.recorders.films.overview import HEADER_HEIGHT, LABEL_HEIGHT
from tests.jobs import make_job

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
]
HANG = 120.0
"""Seconds after which the browser is considered hung; nothing is asserted about time."""

PAGE = """<!doctype html><body><script>
const films = FILMS
async function play(name) {
  const video = document.createElement("video")
  video.muted = true
  video.playbackRate = 2
  video.src = "/" + name
  document.body.append(video)
  const over = new Promise(resolve => {
    video.onended = () => resolve("ended")
    video.onerror = () => resolve("error: " + video.error.message)
  })
  video.play().catch(error => {})
  const end = await over
  const seen = video.getVideoPlaybackQuality().totalVideoFrames
  const told = {name, end, width: video.videoWidth, height: video.videoHeight, duration: video.duration, seen}
  video.remove()
  return told
}
async function all() {
  const told = []
  for (const film of films) told.push(await play(film))
  await fetch("/told", {method: "POST", body: JSON.stringify(told)})
}
all()
</script>"""


class Theatre(ThreadingHTTPServer):
    """Serves a folder of films and a page that plays them, and waits for what the page has to tell."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.heard, self.told = folder, threading.Event(), list[dict[str, Any]]()
        super().__init__(("127.0.0.1", 0), Seat)


class Seat(SimpleHTTPRequestHandler):
    server: Theatre

    def __init__(self, request: Any, address: Any, server: Theatre) -> None:
        super().__init__(request, address, server, directory=str(server.folder))

    def do_GET(self) -> None:
        if self.path != "/":
            super().do_GET()
            return
        films = sorted(
            path.relative_to(self.server.folder).as_posix() for path in self.server.folder.rglob("*.mp4")
        )
        page = PAGE.replace("FILMS", json.dumps(films)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(page)

    def do_POST(self) -> None:
        self.server.told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.server.heard.set()

    def log_message(self, format: str, *args: Any) -> None: ...


@contextlib.contextmanager
def browser(path: str, url: str, profile: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [path, *FLAGS, f"--user-data-dir={profile}", url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


FRAMES = {0: 7, 1: 4, 2: 9, 3: 7}
"""Episode of the scripted job -> frames of its film: its seed decides its length. Episode 1 succeeds."""
EXPECTED = {
    "odd.mp4": (40, (66, 98), 30),
    "scaled.mp4": (40, (64, 48), 30),
    "fast.mp4": (40, (64, 64), 60),
    "depth.mp4": (40, (64, 64), 30),
    "classes.mp4": (40, (64, 64), 30),
    **{
        f"on/job/videos/episode-000{episode}-env{row}-render.mp4": (FRAMES[episode], (16, 18), 10)
        for episode, row in ((0, 0), (1, 1), (2, 1), (3, 0))
    },
    **{
        f"retain-on-failure/job/videos/episode-000{episode}-env{row}-render.mp4": (
            FRAMES[episode],
            (16, 18),
            10,
        )
        for episode, row in ((0, 0), (2, 1), (3, 0))
    },
    # The longest film's frames and a second; tiles are 160 wide, and have the films' shape and a label each.
    "on/job/overview.mp4": (9 + 10, (320, HEADER_HEIGHT + 2 * (180 + LABEL_HEIGHT)), 10),
    "retain-on-failure/job/overview.mp4": (9 + 10, (320, HEADER_HEIGHT + 2 * (180 + LABEL_HEIGHT)), 10),
}
"""Film -> frames, (width, height), frames a second. A name has no run directory, which the time decides."""


def shoot(folder: Path) -> None:
    """Films of every kind: odd and scaled sizes, depth, another preset, live and by replay."""
    encoder, rng = Encoder(), np.random.default_rng(0)
    for name, look, shape, dtype in (
        ("odd", FilmFormat(30), (97, 65, 3), np.uint8),
        ("scaled", FilmFormat(30, size=(64, 48)), (97, 65, 3), np.uint8),
        ("fast", FilmFormat(60, codec=VideoCodec(preset="ultrafast", quality=30)), (64, 64, 3), np.uint8),
        ("depth", FilmFormat(30), (64, 64), np.float32),
        ("classes", FilmFormat(30), (64, 64, 1), np.int32),
    ):
        film = Film(folder / f"{name}.mp4", look, encoder)
        for _ in range(40):
            film.add((200 * rng.random(shape)).astype(dtype))
        film.finish()
    encoder.close()
    for video in ("on", "retain-on-failure"):
        job = make_job(
            environment={
                "id": "tests.registered:arena/Scripted-v0",
                "num_envs": 2,
                "cameras": {"render": {}},
            },
            record={"video_fps": 10},
        )
        evaluate(job, output=folder / video, recorders=[VideoRecorder(video)])  # type: ignore[arg-type]


def test_a_browser_plays_every_frame(tmp_path: Path, browser_path: str) -> None:
    films = tmp_path / "films"
    shoot(films)
    theatre = Theatre(films)
    serving = threading.Thread(target=theatre.serve_forever)
    serving.start()
    try:
        with browser(browser_path, f"http://127.0.0.1:{theatre.server_port}/", tmp_path / "profile"):
            assert theatre.heard.wait(HANG), "the browser told nothing"
    finally:
        theatre.shutdown()
        serving.join()
        theatre.server_close()
    assert {name_of(told): seen(told) for told in theatre.told} == {
        name: {
            "end": "ended",
            "size": size,
            "duration": pytest.approx(frames / rate, abs=0.001),
            "seen": frames,
        }
        for name, (frames, size, rate) in EXPECTED.items()
    }
    assert len(theatre.told) == len(EXPECTED)
    for told in theatre.told:
        with av.open(str(films / told["name"])) as film:
            assert film.streams.video[0].codec_context.pix_fmt == "yuv420p", "which every browser can play"


def name_of(told: dict[str, Any]) -> str:
    return "/".join(part for part in told["name"].split("/") if not part.startswith("20"))


def seen(told: dict[str, Any]) -> dict[str, Any]:
    size = (told["width"], told["height"])
    return {"end": told["end"], "size": size, "duration": told["duration"], "seen": told["seen"]}
