from __future__ import annotations

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jobs_examples import ALL

from pytest_arena import Job, JobFileError, load_jobs
from tests.proofs.mutated_job_files import fault, mutated

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["skip", "../x", ">= 0.9", "policy", 10**40, [], {}, [None], {"a": None}, {"": 1}]),
    st.dictionaries(
        st.sampled_from(["id", "type", "episodes", "steps", "name", "x", ""]), st.integers(), max_size=2
    ),
)


def places(data: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) of nested data."""
    if isinstance(data, dict):
        return [place for key in data for place in [(data, key), *places(data[key])]]
    if isinstance(data, list):
        return [place for index in range(len(data)) for place in [(data, index), *places(data[index])]]
    return []


@st.composite
def mutated_structures(draw: st.DrawFn) -> tuple[str, str]:
    name = draw(st.sampled_from(sorted(ALL)))
    data = copy.deepcopy(yaml.safe_load(ALL[name]))
    for _ in range(draw(st.integers(1, 3))):
        found = places(data)
        if not found:
            break
        container, key = draw(st.sampled_from(found))
        action = draw(st.sampled_from(["replace", "delete", "rename", "copy"]))
        if action == "replace":
            container[key] = copy.deepcopy(draw(JUNK))
        elif action == "delete":
            del container[key]
        elif action == "copy":
            container[key] = copy.deepcopy(draw(st.sampled_from(found))[0])
        elif isinstance(container, dict):
            container[draw(st.text(max_size=6) | st.sampled_from(["name", "jobs", "runs"]))] = container.pop(
                key
            )
    if draw(st.booleans()):
        return "jobs.json", json.dumps(data)
    return "jobs.yaml", yaml.safe_dump(data, allow_unicode=True)


@st.composite
def mutated_texts(draw: st.DrawFn) -> tuple[str, bytes]:
    name = draw(st.sampled_from(sorted(ALL)))
    raw = bytearray(ALL[name].encode())
    fragments = [
        b"&a ",
        b"*a",
        b"<<: ",
        b"!!int ",
        b"\t",
        b"\n",
        b": ",
        b"- ",
        b"{",
        b"}",
        b"[",
        b",",
        b"'",
        b'"',
        b"null",
    ]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        cut = draw(st.integers(0, 5))
        raw[at : at + cut] = draw(st.sampled_from(fragments) | st.binary(max_size=4))
    return draw(st.sampled_from(["jobs.json", "jobs.yaml"])), bytes(raw)


def refusal(file: Path) -> str | None:
    try:
        jobs = load_jobs(file)
    except JobFileError as error:
        return str(error)
    assert jobs
    for job in jobs:
        assert isinstance(job, Job)
        assert len(job.sha256()) == 64
        assert str(job.problem(("policy", "x"), "bad")).isprintable()
    return None


def loads_or_tells(file: Path, raw: bytes) -> None:
    file.write_bytes(raw)
    message = refusal(file)
    if message is not None:
        assert message.isprintable()
        assert file.name in message
        assert len(message) < 1000


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutated=mutated_structures())
def test_mutated_structures_load_or_are_told_in_one_line(tmp_path: Path, mutated: tuple[str, str]) -> None:
    name, text = mutated
    loads_or_tells(tmp_path / name, text.encode(errors="surrogatepass"))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutated=mutated_texts())
def test_mutated_bytes_load_or_are_told_in_one_line(tmp_path: Path, mutated: tuple[str, bytes]) -> None:
    name, raw = mutated
    loads_or_tells(tmp_path / name, raw)


def test_a_sample_of_what_runs_at_night(tmp_path: Path) -> None:
    kinds = Counter()
    for case in range(250):
        kind, wrong = fault(tmp_path, *mutated(1, case))
        assert wrong is None, f"case {case}"
        kinds[kind] += 1
    assert kinds["valid"] >= 10
    assert kinds["refused"] >= 100


def test_a_file_with_thirty_thousand_unknown_keys_is_one_line(tmp_path: Path) -> None:
    keys = ", ".join(f'"key{n}": {n}' for n in range(30_000))
    job = f'{{"name": "a", "arena_env_args": {{"environment": "x"}}, "num_episodes": 1, {keys}}}'
    loads_or_tells(tmp_path / "jobs.json", f'{{"jobs": [{job}]}}'.encode())
