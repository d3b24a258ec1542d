"""Policies from LeRobot's folders: what is loaded, what is refused, and where the inputs come from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lerobot", reason="pip install 'pytest-arena[lerobot]'")
pytest.importorskip("gym_pusht", reason="pip install 'lerobot[pusht]'")

import torch
from safetensors.torch import load_file, save_file

from pytest_arena import EvaluationError, Job, JobFileError, MissingDependencyError, evaluate
from pytest_arena.evaluation.validate import validate
from pytest_arena.policies.lerobot import checkpoint
from pytest_arena.policies.lerobot.policy import LeRobotPolicy
from pytest_arena.policies.registry import make_policy, policy_files
from pytest_arena.simulators.registry import find_simulator
from tests.policy_files import LINES
from tests.policy_runs import one_torch_thread
from tests.real.lerobot_models import STATE, act, common, diffusion, save

KEYPOINTS = {"obs_type": "environment_state_agent_pos"}
MAP = {
    "observation.state": {"from": "agent_pos"},
    "observation.environment_state": {"from": "environment_state"},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lerobot")
    save(folder / "act", act())
    save(folder / "diffusion", diffusion())
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of the folder of ACT, to spoil."""
    return Path(shutil.copytree(saved / "act", tmp_path / "pretrained_model"))


def job(folder: Path, *, simulator: str = "lerobot", num_envs: int = 2, **policy: Any) -> Job:
    if simulator == "lerobot":
        environment: dict[str, Any] = {"id": "pusht", "options": {**KEYPOINTS, "episode_length": 12}}
    else:
        environment = {"id": "gym_pusht/PushT-v0", "max_episode_steps": 12}
        environment["options"] = {"modules": ["gym_pusht"], "make": KEYPOINTS}
    return Job.model_validate(
        {
            "name": "job",
            "simulator": simulator,
            "environment": {**environment, "num_envs": num_envs},
            "policy": {"type": "lerobot", "checkpoint": str(folder), **policy},
            "rollout": {"episodes": 3},
        }
    )


def made(job: Job) -> LeRobotPolicy:
    simulator = find_simulator(job)
    simulator.launch(job)
    env = simulator.make(job)
    try:
        policy = make_policy(job, env)
    finally:
        env.close()
    assert isinstance(policy, LeRobotPolicy)
    return policy


def told(job: Job, output: Path) -> list[tuple[Any, ...]]:
    record = evaluate(job, output=output)
    (run,) = (path for path in output.iterdir() if not path.is_symlink())
    lines = [json.loads(line) for line in (run / str(record.episodes_path)).read_text().splitlines()]
    return sorted((e["episode"], e["seed"], e["length"], e["outcome"], e["return"]) for e in lines)


def test_the_same_episodes_from_another_simulator_through_the_observation_map(
    saved: Path, tmp_path: Path
) -> None:
    """PushT of gymnasium: by the names that LeRobot gives its arrays, or by the map."""
    runs = [
        told(job(saved / "diffusion"), tmp_path / "lerobot"),
        told(job(saved / "diffusion", simulator="gymnasium"), tmp_path / "names"),
        told(job(saved / "diffusion", simulator="gymnasium", observation=MAP), tmp_path / "map"),
    ]
    assert runs[0] == runs[1] == runs[2]


def test_the_line_of_the_docs(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = [line for line in LINES if line["type"] == "lerobot"]
    shutil.copytree(saved / "act", tmp_path / line["checkpoint"])
    monkeypatch.chdir(tmp_path)
    like_it = told(job(saved / "act"), tmp_path / "like it")
    assert told(job(Path(line.pop("checkpoint")), **line), tmp_path / "line") == like_it


def test_the_record_tells_the_policy(saved: Path, tmp_path: Path) -> None:
    record = evaluate(job(saved / "act"), output=tmp_path)
    assert record.reproducible
    assert record.deterministic
    identity = record.identity["policy"]
    assert (identity["type"], identity["batch"], identity["execute"]) == ("act", "single", 6)
    batched = evaluate(job(saved / "diffusion", batch="all"), output=tmp_path)
    assert not batched.reproducible


def test_any_file_of_the_folder_makes_it_another_policy(folder: Path) -> None:
    before, hashes = made(job(folder)).identity["sha256"], policy_files(job(folder))
    normaliser = next(folder.glob("policy_preprocessor_*.safetensors"))
    stats = load_file(normaliser)
    save_file({name: value + 1 for name, value in stats.items()}, normaliser)
    assert made(job(folder)).identity["sha256"] != before
    assert policy_files(job(folder)) != hashes
    assert set(hashes) == {"checkpoint"}


def test_execute_is_lerobots_number_of_action_steps_unless_the_job_has_another(
    saved: Path, tmp_path: Path
) -> None:
    assert made(job(saved / "diffusion")).execute == 5
    assert made(job(saved / "diffusion", execute=2)).execute == 2
    with pytest.raises(EvaluationError, match="execute"):
        evaluate(job(saved / "diffusion", execute=8), output=tmp_path)
    with pytest.raises(EvaluationError, match="predicts 8 actions at once, got 9"):
        evaluate(job(saved / "act", execute=9), output=tmp_path)
    ensemble = save(tmp_path / "ensemble", act(n_action_steps=1, temporal_ensemble_coeff=0.01))
    assert made(job(ensemble)).execute == 1
    with pytest.raises(EvaluationError, match=r"execute.*temporal_ensemble_coeff"):
        made(job(ensemble, execute=2))


def test_the_jobs_own_ensemble_averages_chunks_of_any_policy(saved: Path, tmp_path: Path) -> None:
    plain = told(job(saved / "act", execute=1), tmp_path / "plain")
    averaged = told(job(saved / "act", ensemble=0.1), tmp_path / "averaged")
    assert [line[:3] for line in plain] == [line[:3] for line in averaged]
    assert plain != averaged


class TestRefusals:
    def test_a_folder_that_lacks_files_is_refused_at_collection(self, folder: Path, tmp_path: Path) -> None:
        shutil.move(folder, tmp_path / "run" / "checkpoints" / "last" / "pretrained_model")
        with pytest.raises(
            JobFileError, match=r"checkpoint.*config\.json.*last/pretrained_model is such a folder"
        ):
            validate(job(tmp_path / "run"))
        with pytest.raises(JobFileError, match=r"checkpoint: expected a folder"):
            validate(job(tmp_path / "lerobot" / "diffusion_pusht"))
        with pytest.raises(JobFileError, match=r"checkpoint: expected a folder"):
            validate(job(tmp_path / "run" / "checkpoints" / "last" / "pretrained_model" / "config.json"))

    @pytest.mark.parametrize("path", ["os.mkdir", "lerobot.utils.io_utils.write_video", "nowhere.Step"])
    def test_a_processor_file_cannot_name_code(self, folder: Path, path: str) -> None:
        """LeRobot's reader imports whatever class is named there, and calls it."""
        file, victim = folder / "policy_preprocessor.json", folder / "made by the file"
        content = json.loads(file.read_text())
        content["steps"].insert(0, {"class": path, "config": {"path": str(victim)}})
        file.write_text(json.dumps(content))
        with pytest.raises(EvaluationError, match="no processor step of LeRobot"):
            made(job(folder))
        assert not victim.exists()

    def test_a_step_of_lerobot_may_be_named_by_its_path(self, folder: Path) -> None:
        file = folder / "policy_preprocessor.json"
        content = json.loads(file.read_text())
        step = content["steps"][0]
        assert step.pop("registry_name") == "rename_observations_processor"
        step["class"] = "lerobot.processor.rename_processor.RenameObservationsProcessorStep"
        file.write_text(json.dumps(content))
        made(job(folder))

    def test_weights_must_be_whole(self, folder: Path) -> None:
        """LeRobot loads what there is, and leaves the rest as it was drawn."""
        weights = load_file(folder / "model.safetensors")
        weights.pop(next(iter(weights)))
        save_file(weights, folder / "model.safetensors")
        with pytest.raises(EvaluationError, match="Missing key"):
            made(job(folder))

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"use_peft": True}, "PEFT"),
            ({"type": "acct"}, "acct"),
            ({"n_action_steps": "many"}, "n_action_steps"),
            ({"no_such_field": 1}, "no_such_field"),
        ],
    )
    def test_a_configuration_that_cannot_be_used(self, folder: Path, changes: Any, words: str) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
        with pytest.raises(EvaluationError, match=words):
            made(job(folder))

    def test_a_device_that_is_not_there_is_no_reason_to_take_another(self, folder: Path) -> None:
        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
        with pytest.raises(EvaluationError, match="device"):
            made(job(folder, device="cuda:0"))

    def test_without_lerobot_one_line_says_what_to_install(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(MissingDependencyError, match=r"pip install 'pytest-arena\[lerobot\]'"):
            checkpoint.load_checkpoint(folder, "cpu")


def test_nothing_is_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration names weights of a backbone, as those of trained policies do: the checkpoint has them."""
    import huggingface_hub.constants as hub

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a download")

    file = folder / "config.json"
    content = {
        **json.loads(file.read_text()),
        "pretrained_backbone_weights": "ResNet18_Weights.IMAGENET1K_V1",
    }
    file.write_text(json.dumps(content))
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    offline = []
    load = checkpoint._check_config
    monkeypatch.setattr(
        checkpoint, "_check_config", lambda *args: (offline.append(hub.HF_HUB_OFFLINE), load(*args))[1]
    )
    made(job(folder))
    assert offline == [True]
    assert not hub.HF_HUB_OFFLINE


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        (
            {"observation.state": {"from": "agent_pos"}},
            "needs observation.environment_state.*observation.state",
        ),
        (
            {**MAP, "observation.environment_state": {"from": "environment_state", "take": [0, 1, 2]}},
            r"failed: RuntimeError.*environment_state: \(3,\)",
        ),
        ({**MAP, "observation.image": {"from": "agent_pos"}}, "uint8 images"),
    ],
)
def test_inputs_that_do_not_fit_are_explained(
    saved: Path, tmp_path: Path, observation: Any, words: str
) -> None:
    with pytest.raises(EvaluationError, match=words):
        evaluate(job(saved / "act", observation=observation), output=tmp_path)


def test_a_batch_draws_the_noise_of_each_row_from_its_generator() -> None:
    from pytest_arena.policies.lerobot.row_noise import noise_by_row

    def generators() -> list[Any]:
        return [torch.Generator().manual_seed(seed) for seed in (3, 4)]

    draws = [
        lambda count: torch.randn(count, 5, 2),
        lambda count: torch.randn_like(torch.zeros(count, 20)),
        lambda count: torch.rand(count, 20),
        lambda count: torch.normal(mean=2.0, std=3.0, size=(count, 20)),
    ]
    for draw in draws:
        with noise_by_row(generators()):
            together = torch.cat([draw(2), draw(2)], dim=1)
        for row, generator in enumerate(generators()):
            with noise_by_row([generator]):
                alone = torch.cat([draw(1), draw(1)], dim=1)
            assert torch.equal(together[row], alone[0])


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.real.lerobot_talker.configuration_talker import TalkerConfig

    return save(tmp_path_factory.mktemp("talker") / "pretrained_model", TalkerConfig(**common(STATE)))


class TestAPolicyWithAnInstruction:
    """In the manner of SmolVLA and pi0: no past, the task as a text, noise at the beginning of each chunk."""

    def run(
        self, folder: Path, output: Path, *, num_envs: int = 1, text: str | None = None, **policy: Any
    ) -> Any:
        made = job(folder, num_envs=num_envs, **policy).model_copy(update={"language_instruction": text})
        return told(made, output)

    def test_the_instruction_reaches_it(self, talker: Path, tmp_path: Path) -> None:
        runs = [
            self.run(talker, tmp_path / str(n), text=text)
            for n, text in enumerate([None, "push", "push the T"])
        ]
        assert runs[0] != runs[1] != runs[2]

    def test_one_pass_for_all_rows_has_each_rows_noise_to_the_bit(self, talker: Path, tmp_path: Path) -> None:
        """Nothing here rounds differently in a batch."""
        alone = self.run(talker, tmp_path / "1", text="push the T")
        assert self.run(talker, tmp_path / "3", num_envs=3, text="push the T") == alone
        assert self.run(talker, tmp_path / "all", num_envs=3, text="push the T", batch="all") == alone
