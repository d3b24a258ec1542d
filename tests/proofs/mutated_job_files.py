"""Mutated job files of all formats: each is valid, or is told in one line; never a traceback.

``python -m tests.proofs.mutated_job_files COUNT [SEED]``
"""

from __future__ import annotations

import copy
import json
import random
import runpy
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from pytest_arena import JobFileError
from pytest_arena.evaluation.validate import validate, validate_group
from pytest_arena.jobs.loader import load_file
from tests.inner import ROOT

EXAMPLES: dict[str, str] = {
    **runpy.run_path(str(ROOT / "tests" / "unit" / "jobs" / "jobs_examples.py"))["ALL"],
    **{path.name: path.read_text() for path in sorted((ROOT / "evals" / "jobs").rglob("*.[yj]*"))},
}
WORDS = (
    "id", "type", "name", "jobs", "runs", "shared", "defaults", "groups", "episodes", "steps", "policy", "gate",
    "environment", "options", "rollout", "thresholds", "success_rate", "tags", "skip", "record", "video", "on",
    "gymnasium", "metaworld", "isaaclab", "mjlab", "zero", "random", "policy:Mine", "os:getcwd", "os.path.join",
    ">= 0.9", "<= 200", "0.2..0.4", ">= 95%", "../x", "a b", "é", "日本", "\u202e", "\u2028", "\ufeff", "x" * 200,
    "CartPole-v1", "no", "null", "~", "0o17", "017", "1_000", "1e400", "2026-11-30", ".inf", ".nan", "=", "<<", "",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3.5, 1e308, float("inf"), float("nan"), 2**31, 2**63, 2**64, 10**400, "", [], {},
    [[]], [None], {"a": None}, {"": 1}, {"a": {"b": {"c": [1, {"d": 2}]}}}, [{}] * 3, list(range(50)),
)  # fmt: skip
FRAGMENTS = (
    b"&a ", b"*a", b"*b", b"<<: *a\n", b"<<: [*a, *a]\n", b"!!python/object:os.system ", b"!!int ", b"!!binary ",
    b"!!set ", b"!!timestamp ", b"!x ", b"%YAML 1.1\n", b"---\n", b"...\n", b"\t", b"\n", b"\r", b"\r\n", b": ",
    b"- ", b"? ", b"| \n", b">-\n", b"{", b"}", b"[", b"]", b",", b"'", b'"', b"#", b"\\u0000", b"\\ud800", b"\0",
    b"\x85", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\xff\xfe", b"\xe2\x80\xa8", b"null", b"2026-11-30", b"0o17",
    b"1:30", b"yes", b".nan", b"1e999", b"NaN", b"Infinity", b"- - - - ", b"[[[[[[[[", b"{{{{", b"a: &a [*a]\n",
)  # fmt: skip


def places(data: Any, deep: int = 50) -> list[tuple[Any, Any]]:
    """Return every (container, key) of nested data, but not of what a mutation has nested without end."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    below = places if deep else lambda data, deep: []
    return [place for key, value in items for place in [(data, key), *below(value, deep - 1)]]


def junk(rng: random.Random) -> Any:
    """Return a value that hardly fits."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(WORDS)
    if kind == 1:
        return {rng.choice(WORDS): rng.choice(VALUES) for _ in range(rng.randint(1, 3))}
    if kind == 2 and rng.random() < 0.05:
        return nested(rng.choice([20, 90, 150]))
    return copy.deepcopy(rng.choice(VALUES))


def nested(depth: int) -> Any:
    """Return lists and mappings, one in the other."""
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def change_structure(rng: random.Random, text: str) -> tuple[str, bytes]:
    """Drop, rename, retype, move or double keys; written as JSON or YAML."""
    data = yaml.safe_load(text)
    for _ in range(rng.randint(1, 4)):
        found = places(data)
        if not found:
            break
        container, key = rng.choice(found)
        action = rng.choice(["replace", "replace", "delete", "rename", "copy", "add"])
        if action == "replace":
            container[key] = junk(rng)
        elif action == "delete":
            del container[key]
        elif action == "copy":
            container[key] = copy.deepcopy(rng.choice(found)[0])
        elif isinstance(container, dict):
            new = rng.choice(WORDS) if rng.random() < 0.7 else misspelt(rng, str(key))
            container[new] = junk(rng) if action == "add" else container.pop(key)
    try:
        if rng.random() < 0.4:
            return "jobs.json", json.dumps(data).encode()
        return "jobs.yaml", yaml.safe_dump(data, allow_unicode=rng.random() < 0.5).encode(
            errors="surrogatepass"
        )
    except (RecursionError, ValueError):
        return "jobs.yaml", b"jobs: " + b"[" * 3000


def misspelt(rng: random.Random, word: str) -> str:
    """Return *word* with a letter less, or two that are swapped."""
    at = rng.randrange(len(word) or 1)
    return word[:at] + word[at + 1 :] if rng.random() < 0.5 else word[:at] + word[at + 1 : at + 2] + word[at:]


def change_text(rng: random.Random, text: str) -> tuple[str, bytes]:
    """Insert, cut and double bytes and lines: anchors, tags, merge keys, duplicates, broken encodings."""
    raw = bytearray(text.encode())
    for _ in range(rng.randint(1, 5)):
        at = rng.randint(0, len(raw))
        if rng.random() < 0.3:
            lines = bytes(raw).split(b"\n")
            line = rng.randrange(len(lines))
            lines[line:line] = [rng.choice(lines)] * rng.randint(1, 2)
            raw = bytearray(b"\n".join(lines))
        elif rng.random() < 0.1:
            del raw[at:]
        else:
            raw[at : at + rng.randint(0, 6)] = rng.choice(FRAGMENTS)
    return rng.choice(["jobs.yaml", "jobs.yml", "jobs.json"]), bytes(raw)


def make_huge(rng: random.Random, text: str) -> tuple[str, bytes]:
    """Many keys, long texts, expanding anchors: what costs more than its size."""
    kind = rng.randrange(6)
    if kind == 0:
        data = yaml.safe_load(text)
        container = rng.choice([c for c, _ in places(data) if isinstance(c, dict)] or [data])
        container.update({f"key{n}": n for n in range(30_000)})
        return ("jobs.json", json.dumps(data).encode()) if rng.random() < 0.5 else (
            "jobs.yaml", "\n".join([text, *(f"k{n}: {n}" for n in range(30_000))]).encode()
        )  # fmt: skip
    if kind == 1:
        bomb = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
        return "jobs.yaml", "\n".join([*bomb, text]).encode()
    if kind == 2:
        return "jobs.yaml", text.encode() + b"\n# " + b"x" * 200_000
    if kind == 3:
        pairs = ", ".join(f'"key": {n}' for n in range(30_000))
        return "jobs.json", f'{{"jobs": {{{pairs}}}}}'.encode()
    if kind == 4:
        opening, closing = rng.choice([("[", "]"), ('{"a":', "}"), ("- ", "")])
        deep = opening * 20_000 + "1" + closing * 20_000
        return rng.choice(["jobs.yaml", "jobs.json"]), f'{{"jobs": {deep}}}'.encode()
    names = "\n".join(f"  job{n}: {{rollout: {{episode: 3}}}}" for n in range(3_000))
    return "jobs.yaml", f"jobs:\n{names}\n".encode()


def mutated(seed: int, case: int) -> tuple[str, bytes]:
    """Return file name and content of a case."""
    rng = random.Random(f"{seed}-{case}")
    text = EXAMPLES[rng.choice(sorted(EXAMPLES))]
    chance = rng.random()
    change: Callable[[random.Random, str], tuple[str, bytes]]
    change = make_huge if chance < 0.004 else change_structure if chance < 0.6 else change_text
    return change(rng, text)


def fault(folder: Path, name: str, raw: bytes) -> tuple[str, str | None]:
    """Return what the loader made of a file (``valid``, ``refused``), and what is wrong with that, if anything."""
    file = folder / name
    file.write_bytes(raw)
    try:
        loaded = load_file(file)
        for job in loaded.jobs:
            validate(job)
        for group in loaded.groups:
            members = group.members(loaded.jobs)
            validate_group(group, members, {job.name: () for job in members})
        for job in loaded.jobs:
            json.dumps(job.config(), allow_nan=False)
            job.sha256()
    except JobFileError as error:
        message = str(error)
        if not message.isprintable() or len(message) > 3000 or name not in message:
            return "refused", f"not one line that names the file: {message[:300]!r}"
        return "refused", None
    except Exception:
        return "refused", traceback.format_exc()
    return "valid", None if loaded.jobs else "no job and no error"


def main(count: int, seed: int = 0) -> int:
    """Try *count* files; print what is wrong, the counts, and the slowest."""
    kinds: Counter[str] = Counter()
    slowest, faults, began = (0.0, -1), 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for case in range(count):
            name, raw = mutated(seed, case)
            start = time.process_time()
            kind, wrong = fault(Path(folder), name, raw)
            slowest = max(slowest, (time.process_time() - start, case))
            kinds[kind] += 1
            if wrong is not None:
                faults += 1
                print(f"case {case} of seed {seed} ({name}, {len(raw)} bytes):\n{wrong}", flush=True)
    print(
        f"{count} mutated job files: {kinds['valid']} valid, {kinds['refused']} refused, {faults} faults; slowest "
        f"{slowest[0]:.2f} s (case {slowest[1]}), {time.monotonic() - began:.0f} s in all"
    )
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
