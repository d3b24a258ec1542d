"""Run directories that somebody has changed: gone on with, or refused in one line, with nothing touched."""

from __future__ import annotations

import json
import random
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

# Compiled modules can be loaded only once a process: before the runs, which forget what they have imported.
import tests.registered  # noqa: F401
from pytest_arena.recorders import video  # noqa: F401
from pytest_arena.session import fixtures, item_rollout, resumed_jobs  # noqa: F401
from tests.integration.conftest import Suite

MUTATIONS = 40
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 7, 1.5, 10**18, 10**40, "", "a", "../../victim", "/etc/passwd", "a\0b", "\ud800",
    [], [1], {}, {"a": 1}, "x" * 10_000, "success", "completed", "running",
]  # fmt: skip


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where values stand in *data*."""
    found = [path] if path else []
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inside:
        found += places(value, (*path, key))
    return found


def changed(data: Any, chance: random.Random) -> Any:
    """Return *data* with one value replaced, removed, or put elsewhere too."""
    path = chance.choice(places(data))
    holder = data
    for key in path[:-1]:
        holder = holder[key]
    if chance.random() < 0.2:
        del holder[path[-1]]
    elif isinstance(holder[path[-1]], int) and chance.random() < 0.5:
        holder[path[-1]] += chance.choice([-1, 1, 1000])
    else:
        holder[path[-1]] = chance.choice(VALUES)
    return data


def mutate(path: Path, chance: random.Random) -> str:
    """Change one thing in the file *path*; returns in words what."""
    kind = chance.choice(["value"] * 6 + ["bytes", "lines", "link", "cut"])
    content = path.read_bytes()
    if kind == "value" and content:
        lines = content.splitlines() if path.suffix == ".jsonl" else [content]
        index = chance.randrange(len(lines) - (not content.endswith(b"\n") and len(lines) > 1))
        lines[index] = json.dumps(changed(json.loads(lines[index]), chance)).encode()
        path.write_bytes(b"\n".join(lines) + b"\n")
    elif kind == "bytes" and content:
        at = chance.randrange(len(content))
        path.write_bytes(content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :])
    elif kind == "lines":
        lines = content.splitlines(keepends=True)
        chance.shuffle(lines)
        path.write_bytes(b"".join(lines[: chance.randrange(len(lines) + 1)]))
    elif kind == "link":
        path.unlink()
        path.symlink_to(path.parents[2] / "victim" / "record.json")
    elif kind == "cut":
        path.write_bytes(content[: chance.randrange(len(content) + 1)])
    return f"{kind} in {path.name}"


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and not path.name.startswith(".lock")
    }


@pytest.fixture
def begun(suite: Suite) -> Path:
    """A run of a plain and a sharded job; the plain one was killed."""
    rollout = {"episodes": 4}
    suite.jobs({"plain": {"rollout": rollout}, "split": {"rollout": {**rollout, "shards": 2}}})
    suite.test()
    assert suite.pytester.runpytest_inprocess("-p", "no:cacheprovider").ret == 0
    run = suite.path / "begun"
    shutil.move(suite.run_dir.resolve(), run)
    lines = (run / "plain" / "episodes.jsonl").read_text().splitlines(keepends=True)
    (run / "plain" / "episodes.jsonl").write_text("".join(lines[:2]) + lines[2][:50])
    record = json.loads((run / "plain" / "record.json").read_text())
    (run / "plain" / "record.json").write_text(json.dumps({**record, "status": "running"}))
    return run


def test_what_somebody_has_changed(suite: Suite, begun: Path) -> None:
    victim = suite.path / "victim"
    victim.mkdir()
    shutil.copy(begun / "plain" / "record.json", victim)
    precious = fingerprint(victim)
    refused = 0
    for number in range(MUTATIONS):
        chance = random.Random(number)
        run = Path(shutil.copytree(begun, suite.path / "runs" / str(number)))
        files = sorted(
            path
            for path in run.rglob("*.json*")
            if path.name in ("run.json", "record.json", "episodes.jsonl")
        )
        what = f"mutation {number}: {mutate(chance.choice(files), chance)}"
        before = fingerprint(run)
        result = suite.pytester.runpytest_inprocess("-p", "no:cacheprovider", "--arena-resume", str(run))
        said = result.stdout.str() + result.stderr.str()
        assert "Traceback" not in said, what
        assert "INTERNALERROR" not in said, what
        assert result.ret in (0, 1, 4), what
        assert fingerprint(victim) == precious, what
        if result.ret == 4:
            refused += 1
            assert len([line for line in result.stderr.lines if line.strip()]) == 1, what
            assert f"--arena-resume {run}: " in said, what
            assert fingerprint(run) == before, what
        else:
            assert len((run / "plain" / "episodes.jsonl").read_text().splitlines()) == 4, what
        shutil.rmtree(run)
    assert MUTATIONS // 4 < refused < MUTATIONS
