from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, iterate
from pydantic import Field

from pytest_arena import EvaluationError, JobFileError, Policy, StrictModel, make_policy
from pytest_arena.policies.base import NoSettings
from pytest_arena.policies.registry import policy_files, validate_policy
from pytest_arena.policies.untrained import RandomPolicy, ZeroPolicy
from tests.jobs import make_job

BOX = gymnasium.spaces.Box(np.array([-1.0, 0.5], np.float32), np.array([1.0, 2.0], np.float32))


def env(space: Any = BOX, num_envs: int = 3) -> Any:
    return SimpleNamespace(single_action_space=space, num_envs=num_envs, unwrapped="the simulator")


def test_zero_stays_within_the_action_space() -> None:
    actions = ZeroPolicy(NoSettings(), env()).act(None)
    assert actions.tolist() == [[0.0, 0.5]] * 3
    actions[:] = 7  # owned by the caller
    assert ZeroPolicy(NoSettings(), env(gymnasium.spaces.Discrete(4))).act(None).tolist() == [0, 0, 0]


def test_zero_refuses_a_space_without_a_zero_by_name() -> None:
    with pytest.raises(EvaluationError, match=r"policy 'zero' needs an action space of .*, got Sequence"):
        ZeroPolicy(NoSettings(), env(spaces.Dict({"a": BOX, "b": spaces.Sequence(BOX)})))


SPACES = [
    BOX,
    spaces.Box(-np.inf, np.inf, (2,), np.float64),
    spaces.Box(3, 250, (4, 4, 3), np.uint8),
    spaces.Box(-9, -4, (), np.float16),
    spaces.Box(np.array([-np.inf, 2.0]), np.array([-1.0, np.inf])),
    spaces.Discrete(4),
    spaces.Discrete(3, start=1),
    spaces.Discrete(3, start=-7),
    spaces.Discrete(3, start=-1, dtype=np.int32),
    spaces.MultiDiscrete([3, 2], start=[5, 1]),
    spaces.MultiDiscrete([3, 2], start=[-5, -1], dtype=np.int8),
    spaces.MultiDiscrete([[2, 3], [4, 5]]),
    spaces.MultiBinary(3),
    spaces.MultiBinary([2, 2]),
    spaces.Text(5, charset="xyz"),
    spaces.Text(5, min_length=0),
    spaces.Dict(),
    spaces.Dict({"arm": BOX, "more": spaces.Tuple([spaces.Discrete(2, start=2), spaces.Text(2)])}),
    spaces.Tuple([BOX, spaces.Dict({"a/b": spaces.MultiBinary(1), "c": spaces.Box(1, 2, (1,))})]),
]


@pytest.mark.parametrize("cls", [ZeroPolicy, RandomPolicy])
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_every_row_gets_an_action_that_the_space_has(cls: Any, space: Any) -> None:
    """As a vector environment hands a batch to its rows, types included."""
    policy = cls(NoSettings(), env(space, 3))
    policy.reset(np.arange(3), [2**32 - 1, 2, 3])
    for _ in range(3):
        rows = list(iterate(batch_space(space, 3), policy.act(None))) if space != spaces.Dict() else [{}] * 3
        assert len(rows) == 3
        assert all(space.contains(row) for row in rows), rows


@pytest.mark.parametrize(
    "space", [spaces.Sequence(BOX), spaces.OneOf([BOX, spaces.Discrete(2)]), spaces.Graph(BOX, None)], ids=str
)
def test_random_samples_whatever_can_be_sampled(space: Any) -> None:
    policy = RandomPolicy(NoSettings(), env(space, 2))
    policy.reset(None, [1, 2])
    batch = policy.act(None)
    assert isinstance(batch, tuple)
    assert all(space.contains(value) for value in batch)


def test_zero_is_the_nearest_to_zero() -> None:
    def zero(space: Any) -> Any:
        return ZeroPolicy(NoSettings(), env(space, 1)).act(None)[0].tolist()

    assert zero(spaces.Discrete(3, start=1)) == 1
    assert zero(spaces.Discrete(3, start=-7)) == -5
    assert zero(spaces.Discrete(3, start=-1)) == 0
    assert zero(spaces.MultiDiscrete([3, 2], start=[5, -4])) == [5, -3]


@pytest.mark.parametrize("cls", [ZeroPolicy, RandomPolicy])
def test_a_team_gets_actions_by_agent(cls: Any) -> None:
    policy = cls(NoSettings(), env(gymnasium.spaces.Dict({"arm": BOX, "base": gymnasium.spaces.Discrete(3)})))
    policy.reset(np.arange(3), [1, 2, 3])
    actions = policy.act(None)
    assert {agent: batch.shape for agent, batch in actions.items()} == {"arm": (3, 2), "base": (3,)}
    actions["arm"][:] = 7  # owned by the caller
    assert not (policy.act(None)["arm"] == 7).any()


def play(num_envs: int, row: int, steps: int, others: int = 0) -> Any:
    policy = RandomPolicy(NoSettings(), env(num_envs=num_envs))
    policy.reset(np.arange(num_envs), [100 + i for i in range(num_envs)])
    for _ in range(others):
        policy.act(None)
    policy.reset(np.array([row]), [5])
    return np.array([policy.act(None)[row] for _ in range(steps)])


def test_random_noise_of_a_row_comes_from_its_seed_alone() -> None:
    alone = play(1, 0, 200)
    assert np.array_equal(alone, play(4, 2, 200, others=37))
    assert alone.shape == (200, 2)
    assert (alone >= BOX.low).all()
    assert (alone <= BOX.high).all()
    assert len(np.unique(alone[:, 0])) == 200


def test_random_rows_differ_and_discrete_spaces_work() -> None:
    policy = RandomPolicy(NoSettings(), env(gymnasium.spaces.Discrete(50)))
    policy.reset(None, [1, 2, 3])
    drawn = np.array([policy.act(None) for _ in range(80)])
    assert drawn.shape == (80, 3)
    assert len({tuple(column) for column in drawn.T}) == 3


class Plain:
    """Only ``act``, with settings of its own."""

    def __init__(self, env: Any, gain: float, bias: float = 0.0) -> None:
        self.env, self.gain, self.bias, self.seeds = env, gain, bias, None

    def act(self, observation: Any) -> Any:
        return observation * self.gain

    def reset(self, seeds: Any) -> None:
        self.seeds = seeds


class Config:
    def __init__(self, horizon: int) -> None:
        self.horizon = horizon


class Arena:
    """IsaacLab-Arena's interface, with a config class."""

    config_class = Config

    def __init__(self, config: Config) -> None:
        self.config, self.told = config, []

    def get_action(self, env: Any, observation: Any) -> Any:
        self.told.append(env)
        return observation

    def reset(self, env_ids: Any = None) -> None:
        self.told.append(env_ids)

    def __len__(self) -> int:
        return self.config.horizon

    def set_language_instruction(self, text: str) -> None:
        self.told.append(text)


HERE = "tests.unit.policies.test_untrained"


def job(kind: str, **settings: Any) -> Any:
    return make_job(policy={"type": f"{HERE}:{kind}", **settings})


def test_a_class_with_nothing_but_act() -> None:
    made = job("Plain", gain=2.0)
    validate_policy(made, may_import=True)
    policy = make_policy(made, env())
    policy.reset(np.array([1]), [9])
    policy.set_task_description("reach")
    assert policy.act(np.ones(2)).tolist() == [2.0, 2.0]
    assert policy.length() is None
    assert not policy.reproducible
    assert policy.identity["class"].endswith(":Plain")
    policy.close()


class Declared(Plain):
    reproducible = True


class Odd(Plain):
    reproducible = "yes"


def test_only_who_wrote_a_class_knows_that_its_rows_do_not_depend_on_each_other() -> None:
    assert make_policy(job("Declared", gain=2.0), env()).reproducible is True
    assert make_policy(job("Odd", gain=2.0), env()).reproducible is False


def test_an_arena_class_gets_the_simulators_own_environment() -> None:
    made = job("Arena", horizon=12)
    validate_policy(made, may_import=True)
    policy = make_policy(made, env())
    policy.set_task_description("open the door")
    policy.reset(None)
    policy.act(np.zeros(1))
    assert policy.length() == 12
    assert not policy.reproducible
    assert policy.wrapped.told == ["open the door", None, "the simulator"]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"type": f"{HERE}:Plain"}, "expected the setting 'gain'"),
        ({"type": f"{HERE}:Plain", "gian": 1}, "did you mean 'gain'"),
        ({"type": f"{HERE}:Arena"}, "missing 1 required positional argument: 'horizon'"),
        ({"type": f"{HERE}:Config", "horizon": 1}, "has neither"),
        ({"type": f"{HERE}:BOX"}, "has no class 'BOX'"),
        ({"type": "tests.registered:Planer"}, r"has no class 'Planer' \(did you mean 'Planner'\?\)"),
        ({"type": "torch", "checkpoint": "nowhere.pt"}, "expected a file, there is none"),
        ({"type": "torch"}, "checkpoint"),
        ({"type": "rando"}, "did you mean 'random'"),
    ],
)
def test_what_is_refused(policy: dict[str, Any], words: str) -> None:
    with pytest.raises(JobFileError, match=words):
        validate_policy(make_job(policy=policy), may_import=True)


def test_classes_of_simulators_that_must_start_first_are_not_imported() -> None:
    validate_policy(make_job(policy={"type": "no.such.module:Policy"}), may_import=False)
    validate_policy(
        make_job(policy={"type": "pi0_remote"}), may_import=False, simulators_own=frozenset({"pi0_remote"})
    )


def test_the_content_of_policy_files_is_known(tmp_path: Any) -> None:
    checkpoint = tmp_path / "a.pt"
    checkpoint.write_bytes(b"weights")
    made = make_job(policy={"type": "torch", "checkpoint": str(checkpoint)})
    before = policy_files(made)
    checkpoint.write_bytes(b"other")
    assert list(before) == ["checkpoint"]
    assert policy_files(made) != before
    assert policy_files(make_job()) == {}


class Reader(Plain):
    file_settings = ("folder",)


def test_the_content_of_what_a_class_of_ones_own_reads_is_known(tmp_path: Any) -> None:
    """Files are found though no class declares them; folders only where it does."""
    folder = tmp_path / "checkpoint"
    (folder / "deep").mkdir(parents=True)
    weights = tmp_path / "w.npy"
    settings = {"folder": str(folder), "weights": str(weights), "other": str(tmp_path), "name": "x" * 999}
    made = job("Reader", gain=1.0, **settings)
    found = []
    for path in (weights, folder / "deep" / "a", folder / "b"):
        path.write_bytes(b"1")
        found.append(policy_files(made))
        path.write_bytes(b"2")
        found.append(policy_files(made))
    (folder / "b").rename(folder / "c")
    found.append(policy_files(made))
    assert all(sorted(files) == ["folder", "weights"] for files in found)
    assert all(before != after for before, after in pairwise(found))
    (tmp_path / "checkpoint").rename(tmp_path / "gone")
    assert policy_files(made)["folder"].startswith("cannot be read")


class Default(Plain):
    def __init__(self, weights: str = "a", name: str = "no file", size: int = 3) -> None: ...


class DefaultSetting(RandomPolicy):
    class Settings(StrictModel):
        folder: str = "folder"
        other: str | None = "a"

    file_settings = ("folder",)


DEFAULT = Path("a")


class Deep(Plain):
    def __init__(self, weights: Path = DEFAULT, name: str = "no file") -> None: ...


class Part(StrictModel):
    file: str = "b"


class DeepSetting(RandomPolicy):
    class Settings(StrictModel):
        weights: Path = DEFAULT
        part: Part = Part()
        parts: list[str] = Field(default_factory=lambda: ["a"])


@dataclasses.dataclass
class DeepFields(Plain):
    weights: list[str] = dataclasses.field(default_factory=lambda: ["a", "b"])


def test_files_that_a_class_names_by_default_are_files_too(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in "ab":
        (tmp_path / name).write_text(name)
    default = policy_files(job("Default"))
    assert list(default) == ["weights"]
    assert policy_files(job("Default", weights="a")) == default != policy_files(job("Default", weights="b"))
    assert list(policy_files(job("Deep"))) == ["weights"]
    assert list(policy_files(job("DeepSetting"))) == ["weights", "part.file", "parts[0]"]
    assert list(policy_files(job("DeepFields"))) == ["weights[0]", "weights[1]"]
    assert list(policy_files(job("DefaultSetting"))) == ["folder", "other"]
    assert list(policy_files(job("DefaultSetting", other=None))) == ["folder"]
    kwargs = make_job(
        policy={"type": "torch", "checkpoint": "a", "module": "b", "kwargs": {"statistics": "b"}}
    )
    assert list(policy_files(kwargs)) == ["checkpoint", "kwargs.statistics"]


class Heads(Policy):
    class Settings(StrictModel):
        parts: list[str | None] = Field(default_factory=list)
        heads: dict[str, list[str]] = Field(default_factory=dict)

    file_settings = ("parts", "heads")

    def __init__(self, settings: Settings, env: Any) -> None:
        self.settings = settings

    def act(self, observation: Any) -> Any:
        return observation


def test_files_in_lists_and_dicts_are_files_too(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"1")
    monkeypatch.chdir(tmp_path)
    nested = {"parts": ["a", None, "b"], "heads": {"left": ["c"], "right": []}}
    made = job("Heads", **nested)
    plain = job("Plain", gain=1.0, layers=[1, {"from": ["a", "no file"]}], name=["x" * 999, "", "\0"])
    assert list(policy_files(plain)) == ["layers[1].from[0]"]
    found = []
    for name in ("a", "b", "c"):
        found.append(policy_files(made))
        (tmp_path / name).write_bytes(b"2")
    found.append(policy_files(made))
    assert all(list(files) == ["parts[0]", "parts[2]", "heads.left[0]"] for files in found)
    assert all(before != after for before, after in pairwise(found))
    assert make_policy(made, env()).settings.model_dump() == nested  # type: ignore[attr-defined]
    with pytest.raises(JobFileError, match=r"policy\.heads\.left\[1\]: expected a file, there is none at d"):
        validate_policy(job("Heads", heads={"left": ["a", "d"]}), may_import=True)
