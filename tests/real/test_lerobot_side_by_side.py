"""LeRobot's own evaluation and ours, side by side: the same policy, environment, seeds and episodes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="pip install 'pytest-arena[lerobot]'")
pytest.importorskip("gym_pusht", reason="pip install 'lerobot[pusht]'")

import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.envs.factory import make_env, make_env_config, make_env_pre_post_processors
from lerobot.policies.factory import make_policy, make_pre_post_processors
from lerobot.scripts.lerobot_eval import eval_policy

from pytest_arena import Episode, Job, Recorder, episode_seeds, evaluate
from tests.policy_runs import one_torch_thread
from tests.real.lerobot_models import PIXELS, act, diffusion, easy_pusht, save, vqbet

START, STEPS = 1000, 20
POLICIES = {
    "act": lambda: act(),
    "act_ensemble": lambda: act(n_action_steps=1, temporal_ensemble_coeff=0.01),
    "diffusion": lambda: diffusion(),
    "act_pixels": lambda: act(PIXELS),
    "diffusion_pixels": lambda: diffusion(PIXELS, crop_shape=(84, 84)),
    "vqbet_pixels": lambda: vqbet(),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made: dict[str, Path] = {}

    def saved(name: str) -> Path:
        if name not in made:
            made[name] = save(tmp_path_factory.mktemp(name) / "pretrained_model", POLICIES[name]())
        return made[name]

    return saved


@pytest.fixture(autouse=True)
def easy(monkeypatch: pytest.MonkeyPatch) -> None:
    easy_pusht(monkeypatch)


class Steps(Recorder):
    """The actions and rewards of each episode."""

    watches_steps = True

    def __init__(self) -> None:
        self.actions: dict[int, list[Any]] = {}
        self.rewards: dict[int, list[float]] = {}
        self._episode: dict[int, int] = {}

    def on_reset(self, env_ids: Any, starts: Any, observation: Any) -> None:
        for row, start in zip(env_ids.tolist(), starts, strict=True):
            self._episode[row] = start.episode
            self.actions[start.episode], self.rewards[start.episode] = [], []

    def on_step(self, rows: Any, action: Any, step: Any) -> None:
        for row in rows.tolist():
            self.actions[self._episode[row]].append(action[row].copy())
            self.rewards[self._episode[row]].append(float(step.reward[row]))

    def on_end(self, row: int, episode: Episode) -> None: ...


def observed(name: str) -> str:
    return "pixels_agent_pos" if name.endswith("pixels") else "environment_state_agent_pos"


def ours(
    folder: Path, name: str, num_envs: int, episodes: int, output: Path, **policy: Any
) -> tuple[list[Episode], Steps]:
    job = Job.model_validate(
        {
            "name": name,
            "simulator": "lerobot",
            "environment": {
                "id": "pusht", "num_envs": num_envs, "seeds": {"start": START},
                "options": {"obs_type": observed(name), "episode_length": STEPS},
            },
            "policy": {"type": "lerobot", "checkpoint": str(folder), **policy},
            "rollout": {"episodes": episodes},
        }
    )  # fmt: skip
    steps, ended = Steps(), []
    steps.on_end = lambda row, episode: ended.append(episode)  # type: ignore[method-assign]
    record = evaluate(job, output=output, recorders=[steps])
    assert record.status == "completed"
    return sorted(ended, key=lambda episode: episode.episode), steps


def theirs(folder: Path, name: str, num_envs: int, episodes: int, seeds: Sequence[int]) -> dict[str, Any]:
    """What `eval_main` does with the same arguments, without its films.

    It draws the noise of all episodes from PyTorch's global generator, one after the other. Here that generator is
    given one of *seeds* before each rollout, which is one episode where *num_envs* is 1: its habit is mended for the
    comparison, ours is not.
    """
    config = PreTrainedConfig.from_pretrained(folder)
    config.pretrained_path = folder
    env_config = make_env_config("pusht", obs_type=observed(name), episode_length=STEPS)
    policy = make_policy(config, env_cfg=env_config)
    reset, queue = policy.reset, list(seeds)

    def seeded_reset() -> None:
        torch.manual_seed(queue.pop(0))
        reset()

    policy.reset = seeded_reset
    before, after = make_pre_post_processors(config, str(folder))
    before_env, after_env = make_env_pre_post_processors(env_config, config)
    vec = make_env(env_config, n_envs=num_envs)["pusht"][0]
    with torch.no_grad():
        info = eval_policy(
            vec,
            policy,
            before_env,
            after_env,
            before,
            after,
            episodes,
            start_seed=START,
            return_episode_data=True,
        )
    vec.close()
    return info


def policy_seeds(episodes: int) -> list[int]:
    return [episode_seeds(0, 0, episode)[1] for episode in range(episodes)]


@pytest.mark.parametrize("name", POLICIES)
def test_episode_by_episode_the_same_as_lerobots_own_evaluation(
    name: str, folder: Any, tmp_path: Path
) -> None:
    count = 3 if name.endswith("pixels") else 8
    mine, steps = ours(folder(name), name, 3, count, tmp_path)
    info = theirs(folder(name), name, 1, count, policy_seeds(count))
    data, per_episode = info["episodes"], info["per_episode"]
    assert len({episode.outcome for episode in mine}) == 2 or count == 3
    for episode, other in zip(mine, per_episode, strict=True):
        rows = data["episode_index"] == episode.episode
        # Its data repeat the last step once, for the observation after it.
        actions, rewards = data["action"][rows][:-1].numpy(), data["next.reward"][rows][:-1].numpy()
        assert episode.seed == other["seed"]
        assert episode.length == len(actions)
        assert (episode.outcome == "success") == other["success"]
        assert np.array_equal(np.array(steps.actions[episode.episode]), actions)  # every bit
        assert np.array_equal(np.float32(steps.rewards[episode.episode]), rewards)
        # PyTorch adds in another order than a loop does.
        assert math.isclose(episode.return_, other["sum_reward"], rel_tol=1e-12)
        assert max(steps.rewards[episode.episode]) == other["max_reward"]


@pytest.mark.parametrize("name", ["act", "diffusion"])
def test_ours_do_not_depend_on_the_number_of_rows_and_theirs_do(
    name: str, folder: Any, tmp_path: Path
) -> None:
    runs = [ours(folder(name), name, n, 8, tmp_path / str(n)) for n in (1, 3, 8)]
    told = [
        [(e.seed, e.length, e.outcome, e.return_, steps.actions[e.episode]) for e in episodes]
        for episodes, steps in runs
    ]
    for other in told[1:]:
        for mine, same in zip(told[0], other, strict=True):
            assert mine[:4] == same[:4]
            assert np.array_equal(mine[4], same[4])
    single = theirs(folder(name), name, 1, 8, policy_seeds(8))
    batched = theirs(folder(name), name, 8, 8, policy_seeds(1))
    sums = [np.array([episode["sum_reward"] for episode in run["per_episode"]]) for run in (single, batched)]
    assert np.allclose([told_of[3] for told_of in told[0]], sums[0], rtol=1e-12, atol=0)
    assert not np.allclose(sums[0], sums[1], rtol=0.01)
    if name == "act":  # without noise the actions agree, up to rounding; what differs is what they count
        lengths = np.array([told_of[1] for told_of in told[0]])
        rewards = batched["episodes"]["next.reward"].numpy()
        ends = (
            np.array([np.flatnonzero(batched["episodes"]["episode_index"] == k)[0] for k in range(8)])
            + lengths
        )
        own = np.array([rewards[end - length : end].sum() for end, length in zip(ends, lengths, strict=True)])
        assert np.allclose(own, sums[0], rtol=1e-3)
        early = lengths < lengths.max()
        assert early.any()
        assert np.allclose(own[~early], sums[1][~early], rtol=1e-3)
        assert (sums[1] > own + 1e-3)[early].any()  # the reward of the step after the end, of another episode


def test_lerobots_command_gives_the_same_numbers(folder: Any, tmp_path: Path) -> None:
    """`lerobot-eval` as it is, films and all, of a policy without noise."""
    import json

    from lerobot.configs.default import EvalConfig
    from lerobot.configs.eval import EvalPipelineConfig
    from lerobot.scripts.lerobot_eval import eval_main

    config = PreTrainedConfig.from_pretrained(folder("act"))
    config.pretrained_path = folder("act")
    env_config = make_env_config("pusht", obs_type=observed("act"), episode_length=STEPS)
    pipeline = EvalPipelineConfig(
        env=env_config, eval=EvalConfig(n_episodes=4, batch_size=1), policy=config, output_dir=tmp_path / "theirs",
        seed=START,
    )  # fmt: skip
    eval_main(pipeline)
    (task,) = json.loads((tmp_path / "theirs" / "eval_info.json").read_text())["per_task"]
    mine, steps = ours(folder("act"), "act", 3, 4, tmp_path)
    assert [e.outcome == "success" for e in mine] == task["metrics"]["successes"]
    assert [max(steps.rewards[e.episode]) for e in mine] == task["metrics"]["max_rewards"]
    assert np.allclose([e.return_ for e in mine], task["metrics"]["sum_rewards"], rtol=1e-12, atol=0)


def test_a_batch_has_the_noise_of_single_rows(folder: Any, tmp_path: Path) -> None:
    """Up to rounding, which differs with the size of a matrix."""
    single, alone = ours(folder("diffusion"), "diffusion", 4, 4, tmp_path / "single")
    batch, together = ours(folder("diffusion"), "diffusion", 4, 4, tmp_path / "all", batch="all")
    for a, b in zip(single, batch, strict=True):
        first = slice(0, 5)
        assert np.allclose(alone.actions[a.episode][first], together.actions[b.episode][first], atol=0.01)
