"""Make the pictures of the documentation from real runs.

    python docs/make_pictures.py    # a minute or two; needs pip install -e ".[metaworld,torch,dev]"

One run evaluates opening a door twice: with the scripted expert, and with a small learned policy whose
threshold is raised so that it fails. ``images/terminal.svg`` is what pytest printed (only the temporary
folder is cut from its paths). ``images/films.png`` shows frames of a film of a failure that this run left,
below frames of a film of the expert from a second run, because the first one keeps no films of successes.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
COLUMNS = 124
RAISED = "bc_door_open:thresholds.success_rate=>= 0.9"
FAILURES = ("--arena-video", "retain-on-failure")
ONE_EPISODE = "door_open:rollout.episodes=1"
ARGUMENTS = ("evals", "-k", "door", "--tb=short", *FAILURES, "--arena-set", RAISED)
EXPERT = ("evals/test_metaworld.py", "-k", "door_open", "--arena-video", "on", "--arena-set", ONE_EPISODE)
FRAMES, GAP, LINE = 6, 4, 22


def main() -> None:
    """Run the evaluations and draw both pictures."""
    with tempfile.TemporaryDirectory() as folder:
        output, run = run_pytest(Path(folder), ARGUMENTS, expected=[1])
        _, expert = run_pytest(Path(folder), EXPERT, expected=[0])
        IMAGES.mkdir(exist_ok=True)
        draw_terminal(output.replace(f"{folder}/", ""))
        draw_films(run, expert)


def run_pytest(folder: Path, arguments: Sequence[str], expected: Sequence[int]) -> tuple[str, Path]:
    """Return what the run printed, with its colours, and its run directory.

    It must end with one of the *expected* exit statuses.
    """
    looks = ("--arena-output", str(folder / "arena-results"), "--color=yes", "--no-header")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments, *looks]
    environment = {**os.environ, "COLUMNS": str(COLUMNS)}
    reader, writer = pty.openpty()  # so that pytest prints what it prints on a terminal
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=writer) as process:
        os.close(writer)
        output = read_terminal(reader)
    if process.returncode not in expected:
        sys.exit(f"expected the exit status {expected}, pytest said {process.returncode}:\n{output}")
    return output, (folder / "arena-results" / "latest").resolve()


def read_terminal(reader: int) -> str:
    """Return all that is printed until the process has ended."""
    printed = []
    with contextlib.suppress(OSError), os.fdopen(reader, "rb", buffering=0) as stream:  # an error is the end
        while block := stream.read(65536):
            printed.append(block)
    return b"".join(printed).decode().replace("\r\n", "\n")


def draw_terminal(output: str) -> None:
    """Write ``terminal.svg``."""
    shown = " ".join(f'"{word}"' if " " in word else word for word in ARGUMENTS)
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text(f"$ pytest {shown}", style="bold"))
        console.print(Text.from_ansi(output))
        console.save_svg(str(IMAGES / "terminal.svg"), title="pytest evals")


def draw_films(run: Path, expert: Path) -> None:
    """Write ``films.png``: a success of the expert above a failure of the learned policy."""
    rows = [
        film_row(expert, first_episode(expert, "door_open", "success"), "scripted expert"),
        film_row(run, first_episode(run, "bc_door_open", "failure"), "learned policy"),
    ]
    picture = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        picture.paste(row, (0, top))
        top += row.height
    palette = picture.quantize(colors=128, dither=Image.Dither.NONE)
    palette.save(IMAGES / "films.png", optimize=True)


def first_episode(run_dir: Path, job: str, outcome: str) -> dict[str, Any]:
    """Return the first episode of *job* that ended so and has a film."""
    lines = (run_dir / job / "episodes.jsonl").read_text().splitlines()
    episodes = sorted(map(json.loads, lines), key=lambda episode: episode["episode"])
    return next(e for e in episodes if e["outcome"] == outcome and e["videos"])


def film_row(run_dir: Path, episode: dict[str, Any], who: str) -> Image.Image:
    """Return frames of the episode's film beside each other, under a caption."""
    (film,) = episode["videos"].values()
    images = read_film(run_dir / film)
    chosen = np.linspace(0, len(images) - 1, FRAMES).round().astype(int)
    side = images[0].width
    row = Image.new("RGB", (FRAMES * side + (FRAMES - 1) * GAP, LINE + side + GAP), "white")
    draw = ImageDraw.Draw(row)
    caption = f"{who}, episode {episode['episode']}: {episode['outcome']} after {episode['length']} steps"
    draw.text((2, 3), caption, fill="black", font=ImageFont.load_default(14))
    for place, frame in enumerate(chosen):
        left = place * (side + GAP)
        row.paste(images[frame], (left, LINE))
        draw.rectangle((left, LINE + side - 17, left + 66, LINE + side), fill="black")
        draw.text(
            (left + 4, LINE + side - 16), f"step {frame}", fill="white", font=ImageFont.load_default(12)
        )
    return row


def read_film(path: Path) -> Sequence[Image.Image]:
    """Return all frames of an mp4."""
    with av.open(str(path)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


if __name__ == "__main__":
    main()
