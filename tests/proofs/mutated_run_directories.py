"""Mutated run directories: resumed, compared with, read. The status is right, nothing outside is touched.

``python -m tests.proofs.mutated_run_directories COUNT [SEED]``

Each case is a copy of a run that was killed, or of a whole one, with some of its files broken. It is resumed
or taken as a baseline by a real pytest, or compared by the command, in a forked process. What a resume
accepts must end with the episodes of the undisturbed run.
"""

from __future__ import annotations

import copy
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.inner import inner_environment
from tests.proofs.mutated_job_files import nested, places

JOBS = """\
defaults:
  simulator: gymnasium
  environment: {id: "tests.registered:arena/Scripted-v0"}
  policy: {type: zero}
  rollout: {episodes: 6}
jobs:
  a: {thresholds: {success_rate: ">= 1%"}, regression: {margin: 0.5}}
  s: {rollout: {shards: 2}}
  t: {record: {trajectory: true}, rollout: {episodes: 3}}
  b: {regression: {margin: 0.5}, thresholds: {success_rate: ">= 1%"}}
  c: {rollout: {episodes: 2}}
"""
FINISHED_BEFORE_THE_KILL = 6 + 6 + 3 + 3
PYTEST = ("-p", "no:cacheprovider", "-p", "no:randomly", "--arena-jobs", "jobs.yaml")
LONGEST = 90.0
"""Seconds that a case may take: more is a hang."""
TRACEBACK = re.compile(
    r"INTERNALERROR|Traceback \(most recent|^\S*pytest_arena/[\w/]+\.py:\d+: (?!AssertionError)", re.MULTILINE
)
EPISODE_KEYS = ("episode", "seed", "rebuild", "length")
"""What a resume can check: that a success was none at the time, no file can tell."""
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 10**6, 2**63, 10**30, 0.5, float("nan"), float("inf"), "", "a", "b", "s", "x" * 300,
    "running", "completed", "success", "error", [], {}, [[]], {"a": 1}, "..", ".", "../../outside", "a/../../b",
    "../../outside/secret.json", "/etc/passwd", "record.json", "\0", "\ud800", "2026-11-30T00:00:00Z",
)  # fmt: skip
FRAGMENTS = (
    b"\0",
    b"\xff",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b"\n",
    b"NaN",
    b"null",
    b"-",
    b"9" * 30,
    b"\\ud800",
    b"[" * 9000,
)


@dataclass(frozen=True)
class Runs:
    """What all cases are made of."""

    folder: Path
    cut: Path
    whole: Path


def prepare(folder: Path) -> Runs:
    """Make a whole run, and one that was killed, of the same jobs."""
    (folder / "jobs.yaml").write_text(JOBS)
    command = [sys.executable, "-m", "pytest", *PYTEST, "-q"]
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = inner_environment()
    ended = subprocess.run([*command, "--arena-output", "whole"], env=environment, **quiet)  # type: ignore[call-overload]
    assert ended.returncode == 0, "the undisturbed run"
    killer = {**environment, "KILL_AFTER": str(FINISHED_BEFORE_THE_KILL)}
    ended = subprocess.run(  # type: ignore[call-overload]
        [*command, "-p", "tests.killer", "--arena-output", "cut"], env=killer, **quiet
    )
    assert ended.returncode == -signal.SIGKILL, "the run that is killed"
    return Runs(folder, *(next((folder / name).glob("2*")) for name in ("cut", "whole")))


def episodes_of(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Return job -> what must be equal of its episodes."""
    found = {}
    for job in ("a", "s", "t", "b", "c"):
        path = run / job / "episodes.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        episodes = sorted(map(json.loads, lines), key=lambda episode: episode["episode"])
        found[job] = [{key: episode[key] for key in EPISODE_KEYS} for episode in episodes]
    return found


def contents(folder: Path) -> dict[str, Any]:
    """Return what a folder holds, to be compared."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        what = path.lstat()
        found[str(path.relative_to(folder))] = (
            what.st_mode,
            what.st_mtime_ns,
            path.is_file() and path.read_bytes(),
        )
    return found


def outside(case: Path, whole: Path) -> Path:
    """Make a folder that no command may touch."""
    folder = case / "outside"
    folder.mkdir()
    (folder / "secret.json").write_text('{"secret": 1}\n')
    shutil.copytree(whole / "a", folder / "a")
    (folder / "videos").mkdir()
    (folder / "videos" / ".hidden").touch()
    return folder


def mutate(rng: random.Random, run: Path) -> list[str]:
    """Break one to three things of *run*; returns what was done."""
    return [step(rng, run) for step in rng.choices(MUTATIONS, k=rng.choice([1, 1, 1, 2, 3]))]


def _file(rng: random.Random, run: Path, *suffixes: str) -> Path | None:
    files = [path for path in sorted(run.rglob("*")) if path.is_file() and not path.is_symlink()]
    files = [path for path in files if not suffixes or path.suffix in suffixes]
    # Half of the time one that the others depend on.
    first = [path for path in files if path.name in ("run.json", "record.json", "episodes.jsonl")]
    return rng.choice(first if first and rng.random() < 0.5 else files) if files else None


def change_values(rng: random.Random, run: Path) -> str:
    """Replace, remove or add values of a JSON file."""
    path = _file(rng, run, ".json")
    if path is None:
        return "nothing"
    try:
        data = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError):
        return change_bytes(rng, run)
    done = []
    for _ in range(rng.randint(1, 3)):
        found = places(data)
        if not found:
            break
        container, key = rng.choice(found)
        action = rng.choice(["replace", "replace", "delete", "add", "copy"])
        done.append(f"{action} {key}")
        if action == "delete":
            del container[key]
        elif action == "copy":
            container[key] = copy.deepcopy(rng.choice(found)[0])
        elif action == "add" and isinstance(container, dict):
            container[rng.choice(["a", "x", "shard", "../../outside", "é", ""])] = rng.choice(VALUES)
        else:
            container[key] = nested(80) if rng.random() < 0.02 else rng.choice(VALUES)
    path.write_bytes(json.dumps(data).encode(errors="surrogatepass"))
    return f"values of {path.relative_to(run)}: {', '.join(done)}"


def change_lines(rng: random.Random, run: Path) -> str:
    """Drop, double, swap, cut and edit lines of an ``episodes.jsonl``."""
    path = _file(rng, run, ".jsonl")
    if path is None:
        return "nothing"
    lines = path.read_text(errors="replace").splitlines(keepends=True)
    if not lines:
        return "nothing"
    at, action = (
        rng.randrange(len(lines)),
        rng.choice(["drop", "double", "swap", "cut", "edit", "edit", "junk"]),
    )
    if action == "drop":
        del lines[at]
    elif action == "double":
        lines.insert(rng.randrange(len(lines) + 1), lines[at])
    elif action == "swap":
        lines[at], lines[0] = lines[0], lines[at]
    elif action == "cut":
        lines[at] = lines[at][: rng.randrange(len(lines[at]))]
    elif action == "junk":
        lines[at] = rng.choice(["null\n", "[]\n", "{}\n", "1\n", "\n", "é\n", "[" * 9000 + "\n"])
    else:
        try:
            data = json.loads(lines[at])
            key = rng.choice([*data, "extra"])
        except (ValueError, TypeError):
            return "nothing"
        data[key] = (
            rng.choice([*VALUES, data.get(key, 0)]) if rng.random() < 0.7 else _near(rng, data.get(key))
        )
        action = f"edit {key}"
        lines[at] = json.dumps(data) + "\n"
    path.write_bytes("".join(lines).encode(errors="surrogatepass"))
    return f"{action} a line of {path.relative_to(run)}"


def _near(rng: random.Random, value: Any) -> Any:
    """Return a value of the same kind that is another one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + rng.choice([-1, 1, 5])
    return (
        {"success": "failure", "failure": "success"}.get(value, f"{value}x")
        if isinstance(value, str)
        else value
    )


def change_bytes(rng: random.Random, run: Path) -> str:
    """Cut a file off, empty it, or break bytes of it."""
    path = _file(rng, run)
    if path is None:
        return "nothing"
    raw = bytearray(path.read_bytes())
    at = rng.randint(0, len(raw))
    kind = rng.randrange(4)
    if kind == 0:
        del raw[at:]
    elif kind == 1:
        raw.clear()
    else:
        raw[at : at + rng.randint(0, 8)] = rng.choice(FRAGMENTS)
    path.write_bytes(bytes(raw))
    return f"bytes of {path.relative_to(run)}: {('cut off', 'emptied', 'changed', 'changed')[kind]}"


def change_kind(rng: random.Random, run: Path) -> str:
    """Put a link, a pipe or a folder in the place of a file or folder, or nothing."""
    every = [path for path in sorted(run.rglob("*")) if path.exists() or path.is_symlink()]
    if not every:
        return "nothing"
    path = rng.choice(every)
    was = path.relative_to(run)
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    kind = rng.choice(
        ["gone", "gone", "folder", "pipe", "link out", "link to a folder", "dangling", "loop", "hard link"]
    )
    away = run.parents[1] / "outside"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link out":
        path.symlink_to(away / rng.choice(["secret.json", "a/record.json", "a/episodes.jsonl"]))
    elif kind == "link to a folder":
        path.symlink_to(away / rng.choice(["", "a", "videos"]))
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "hard link":
        os.link(away / "secret.json", path)
    return f"{was}: {kind}"


def move(rng: random.Random, run: Path) -> str:
    """Swap, rename or double folders of jobs; add what does not belong there."""
    folders = [path for path in sorted(run.iterdir()) if path.is_dir() and not path.is_symlink()]
    if not folders:
        return "nothing"
    path, kind = rng.choice(folders), rng.choice(["swap", "rename", "attempt", "empty attempt", "foreign"])
    if kind == "swap":
        other, aside = rng.choice(folders), run / "aside"
        if other != path:
            path.rename(aside)
            other.rename(path)
            aside.rename(other)
    elif kind == "rename":
        path.rename(run / rng.choice(["x", "a.9", "b.2", "é", "latest"]))
    elif kind == "attempt":
        shutil.copytree(
            path,
            run / f"{path.name}.2",
            symlinks=True,
            dirs_exist_ok=True,
            ignore=lambda d, n: [
                x for x in n if not os.path.isfile(f"{d}/{x}") and not os.path.isdir(f"{d}/{x}")
            ],
        )
    elif kind == "empty attempt":
        (run / f"{path.name}.2").mkdir(exist_ok=True)
    else:
        (path / rng.choice([".lock", "videos", "trajectories", "episodes.jsonl.bak", ".x.tmp"])).mkdir(
            exist_ok=True
        )
    return f"{path.name}: {kind}"


MUTATIONS: tuple[Callable[[random.Random, Path], str], ...] = (
    change_values, change_values, change_values, change_lines, change_lines, change_bytes, change_kind, move,
)  # fmt: skip


def forked(case: Path, log: Path, work: Callable[[], int]) -> int | None:
    """Return the status of *work*, done by a process of its own in *case*; None if it hangs."""
    pid = os.fork()
    if pid == 0:
        leave = os._exit
        try:
            os.setsid()
            os.chdir(case)
            target = os.open(log, os.O_CREAT | os.O_WRONLY)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(target, 1)
            os.dup2(target, 2)
            status = int(work())
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException as error:
            if isinstance(error, SystemExit) and isinstance(error.code, int):
                leave(error.code)
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
            leave(70)
        leave(status)
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def fault(runs: Runs, folder: Path, seed: int, number: int) -> tuple[str, str | None]:
    """Return what became of a case, and what is wrong with that, if anything."""
    import pytest

    from pytest_arena.__main__ import main as command

    rng = random.Random(f"{seed}-{number}")
    case = folder / f"case-{number}"
    case.mkdir()
    shutil.copy(runs.folder / "jobs.yaml", case)
    away = outside(case, runs.whole)
    way = rng.choice(["resume", "resume", "resume", "baseline", "compare"])
    run = case / "runs" / (runs.cut if way == "resume" else runs.whole).name
    shutil.copytree(runs.cut if way == "resume" else runs.whole, run)
    done = mutate(rng, run)
    before, log = contents(away), case / "log"
    if way == "resume":
        status = forked(case, log, lambda: pytest.main([*PYTEST, "--arena-resume", str(run)]))
        right = {0, 1, 4}
    elif way == "baseline":
        status = forked(
            case, log, lambda: pytest.main([*PYTEST, "-k", "a or b", "--arena-baseline", str(run)])
        )
        right = {0, 1, 4}
    else:
        pair = [str(run), str(runs.whole)] if rng.random() < 0.5 else [str(runs.whole), str(run)]
        status = forked(case, log, lambda: command(["compare", *pair]))
        right = {0, 1, 2, 4}
    text = log.read_text(errors="replace") if log.exists() else ""
    wrong = None
    if status is None:
        wrong = "it hangs"
    elif TRACEBACK.search(text):
        wrong = "a traceback"
    elif status not in right:
        wrong = f"status {status}"
    elif status == 4 and not re.search(r"(?i)error: ", text):
        wrong = "status 4 without a line that says why"
    elif contents(away) != before:
        wrong = "it touched what is outside"
    elif way == "resume" and status == 0:
        wrong = _differences(run, runs)
    if wrong is None:
        shutil.rmtree(case)
        return f"{way} {status}", None
    return f"{way} {status}", f"{way}, {'; '.join(done)}: {wrong}\n{text[-3000:]}"


def _differences(run: Path, runs: Runs) -> str | None:
    """Return how the episodes of a resumed run differ from those of the undisturbed one."""
    expected = episodes_of(runs.whole)
    found: dict[str, Any] = {}
    manifest = json.loads((run / "run.json").read_text())
    for record in run.glob("*/record.json"):
        data = json.loads(record.read_text())
        if data["job"] in expected and data["attempt"] >= found.get(data["job"], (0, None))[0]:
            found[data["job"]] = data["attempt"], record.parent
    for job, episodes in expected.items():
        if job not in found:
            return f"status 0, and job {job} has no record (of {sorted(manifest['jobs'])})"
        path = found[job][1] / "episodes.jsonl"
        lines = sorted(map(json.loads, path.read_text().splitlines()), key=lambda line: line["episode"])
        if [{key: line.get(key) for key in EPISODE_KEYS} for line in lines] != episodes:
            return f"status 0, and the episodes of job {job} are not those of the undisturbed run"
    return None


def main(count: int, seed: int = 0) -> int:
    """Try *count* run directories; print what is wrong and the counts."""
    import gymnasium  # noqa: F401  (imported once, for all the processes that are forked)
    import h5py  # noqa: F401
    import scipy.stats  # noqa: F401

    import pytest_arena.recorders.trajectory  # noqa: F401
    import tests.registered  # noqa: F401

    os.environ.update(inner_environment())
    kinds: Counter[str] = Counter()
    faults, began = 0, time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="arena-runs-"))
    (folder / "base").mkdir()
    runs = prepare(folder / "base")
    for number in range(count):
        kind, wrong = fault(runs, folder, seed, number)
        kinds[kind] += 1
        if wrong is not None:
            faults += 1
            print(f"== case {number} of seed {seed}: {wrong}\n", flush=True)
    print(
        f"{count} mutated run directories: {', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}; "
        f"{faults} faults; {time.monotonic() - began:.0f} s"
    )
    if not faults:
        shutil.rmtree(folder)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
