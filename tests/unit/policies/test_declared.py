"""Only a class of somebody's own that says so, or leaves alone how one of ours acts, has reproducible episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_arena import Policy, evaluate
from pytest_arena.policies.base import NoSettings
from pytest_arena.policies.declared import says_nothing_of_its_episodes
from pytest_arena.policies.duck_typed import CustomPolicy
from pytest_arena.policies.untrained import ZeroPolicy
from tests.fakes import LongFailures
from tests.jobs import make_job


class Silent(Policy):
    def __init__(self, settings: Any = None, env: Any = None) -> None: ...

    def act(self, observation: Any) -> Any:
        return observation


class Declares(Silent):
    reproducible = False


class DeclaresByObject(Silent):
    def __init__(self, settings: Any = None, env: Any = None) -> None:
        self.reproducible = True


class ActsOtherwise(ZeroPolicy):
    def act(self, observation: Any) -> Any:
        return super().act(observation)


class OnlyCloses(ZeroPolicy):
    def close(self) -> None: ...


class DeclaresAnew(ActsOtherwise):
    reproducible = True


class Duck:
    def act(self, observation: Any) -> Any:
        return observation * 0


class DuckThatDeclares(Duck):
    reproducible = True


def made(kind: type[Any]) -> Policy:
    if not issubclass(kind, Policy):
        return CustomPolicy(kind())
    return kind(NoSettings(), LongFailures(2, 1.0))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("kind", "silent"),
    [
        (Silent, True),
        (Declares, False),
        (DeclaresByObject, False),
        (ZeroPolicy, False),
        (ActsOtherwise, True),
        (OnlyCloses, False),
        (DeclaresAnew, False),
        (Duck, True),
        (DuckThatDeclares, False),
    ],
)
def test_who_says_nothing(kind: type[Any], silent: bool) -> None:
    assert says_nothing_of_its_episodes(made(kind)) is silent


@pytest.mark.parametrize(
    ("kind", "reproducible", "noted"),
    [
        ("ActsOtherwise", False, True),
        ("DeclaresAnew", True, False),
        ("OnlyCloses", True, False),
    ],
)
def test_the_record_says_so_and_why(tmp_path: Path, kind: str, reproducible: bool, noted: bool) -> None:
    environment = {"id": "tests.registered:arena/Scripted-v0"}
    record = evaluate(
        make_job(environment=environment, policy={"type": f"{__name__}:{kind}"}), output=tmp_path
    )
    assert record.reproducible is reproducible
    assert record.deterministic is reproducible
    note = f"reproducible: false, because the class {__name__}:{kind} does not declare reproducible = True"
    assert (note in record.notes) is noted


def test_where_it_could_not_be_so_anyway_nothing_is_said(tmp_path: Path) -> None:
    """The rows share one stream of random numbers: the class is not the reason."""
    environment = {"id": "tests.registered:arena/Scripted-v0", "options": {"autoreset": "next_step"}}
    job = make_job(environment=environment, policy={"type": f"{__name__}:ActsOtherwise"})
    record = evaluate(job, output=tmp_path)
    assert not record.reproducible
    assert not any("reproducible" in note for note in record.notes)
