"""How jobs become environments: the app, the builder's arguments, policies of every style."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_arena import (
    EvaluationError,
    JobFileError,
    MissingDependencyError,
    evaluate,
    load_jobs,
    make_policy,
)
from pytest_arena.evaluation.validate import validate
from pytest_arena.simulators.isaaclab_arena import simulator
from pytest_arena.simulators.pool import EnvironmentPool
from pytest_arena.simulators.registry import find_simulator
from tests.arena_stand_in import GENERATIONS, arena_job, stand_in

pytestmark = pytest.mark.stand_in

JOBS = Path(__file__).parents[4] / "evals" / "jobs" / "arena"
MAPLE = {"id": "pick_and_place_maple_table", "num_envs": 2, "device": "cpu"}


@pytest.fixture
def oldest(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with stand_in(GENERATIONS[0], monkeypatch) as lab:
        yield lab


@pytest.fixture
def pool() -> Iterator[EnvironmentPool]:
    pool = EnvironmentPool()
    yield pool
    pool.clear()


# -- the app


def test_nothing_of_it_is_imported_before_the_app_runs(lab: Any) -> None:
    for file in JOBS.iterdir():
        for job in load_jobs(file):
            validate(job)
            find_simulator(job).launch_key(job)
    assert not [name for name in sys.modules if name.startswith(("isaaclab_arena", "isaaclab."))]


@pytest.mark.parametrize(
    ("changes", "cameras"),
    [
        ({}, False),
        ({"args": {"enable_cameras": True}}, True),
        ({"args": {"enable_cameras": False}}, False),
        ({"environment": {"cameras": {"head_camera_rgb": {}}}}, True),
        ({"record": {"video": "on"}}, True),
        ({"record": {"video": "off"}}, False),
        ({"environment": {"options": {"launch": {"enable_cameras": True}}}}, True),
    ],
)
def test_cameras_are_on_where_the_job_needs_them(
    newest: Any, pool: EnvironmentPool, changes: dict[str, Any], cameras: bool
) -> None:
    env = pool.get(arena_job(**changes))
    assert newest.logged("launch") == [({"headless": True, "enable_cameras": cameras, "device": "cpu"},)]
    assert (env.cameras is not None) is cameras


def test_the_launcher_gets_arguments_of_its_own_and_none_of_pytest(
    newest: Any, pool: EnvironmentPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = arena_job(environment={"options": {"launch": {"rendering_mode": "quality"}}})
    monkeypatch.setattr(sys, "argv", ["pytest", "-m", "not slow"])  # the stand-in refuses them
    stdout = sys.stdout
    pool.get(job)
    assert newest.logged("launch")[0][0]["rendering_mode"] == "quality"
    assert sys.stdout is stdout
    assert len(sys.argv) > 1


def test_a_worker_names_its_gpu(newest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ARENA_GPU", "3")
    job = arena_job(environment={"device": None})
    find_simulator(job).launch(job)
    assert newest.logged("launch")[0][0]["device"] == "cuda:3"


@pytest.mark.parametrize("wanted", [True, False])
def test_pinocchio_is_loaded_before_the_app(
    newest: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wanted: bool
) -> None:
    (tmp_path / "pinocchio.py").write_text("from isaaclab import LOG\nLOG.append(('pinocchio',))\n")
    monkeypatch.syspath_prepend(tmp_path)
    job = arena_job(args={} if wanted else {"disable_pinocchio": True})
    find_simulator(job).launch(job)
    find_simulator(job).make(job).close()  # the environment is not told
    sys.modules.pop("pinocchio", None)
    assert [entry[0] for entry in newest.LOG][:2] == (
        ["pinocchio", "launch"] if wanted else ["launch", "builder"]
    )
    assert newest.logged("launch")[0][0].get("disable_pinocchio_patch", False) is wanted


def test_an_app_with_cameras_runs_jobs_without_but_not_the_other_way(
    newest: Any, pool: EnvironmentPool
) -> None:
    plain, filmed = arena_job("plain"), arena_job("filmed", args={"enable_cameras": True})
    pool.expected = [plain, filmed]
    assert pool.get(plain).cameras is None  # the app has cameras, the environment none
    assert pool.get(filmed).cameras
    assert len(newest.logged("launch")) == 1
    elsewhere = arena_job("elsewhere", environment={"device": "cuda:1"})
    with pytest.raises(
        EvaluationError, match=r"'elsewhere' needs isaaclab_arena started with .* run such jobs with -n"
    ):
        pool.get(elsewhere)


def test_an_app_without_cameras_cannot_get_any(newest: Any, pool: EnvironmentPool) -> None:
    pool.get(arena_job("plain"))
    with pytest.raises(EvaluationError, match="run such jobs with -n"):
        pool.get(arena_job("filmed", args={"enable_cameras": True}))


def test_what_is_missing_is_named_with_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "find_spec", lambda name: None)
    with pytest.raises(
        MissingDependencyError, match=r"pip install 'pytest-arena\[isaaclab\]', then install isaaclab_ar"
    ):
        find_simulator(arena_job()).launch(arena_job())


# -- the builder


def test_arenas_formats_reach_the_builder_as_they_are(
    lab: Any, monkeypatch: pytest.MonkeyPatch, pool: EnvironmentPool
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    files = ("droid_pnp_variations_experiment.yaml", "zero_action_jobs_config.json")
    jobs = [job for file in files for job in load_jobs(JOBS / file)]
    assert [job.name for job in jobs] == ["variations_demo", "gr1_open_microwave_cracker_box"]
    if lab.GENERATION < (0, 3):
        pool.expected = jobs
        with pytest.raises(EvaluationError, match="variations: this IsaacLab-Arena has no variations"):
            pool.get(jobs[0])
    else:
        pool.get(jobs[0])
        environment, builder, overrides = lab.logged("builder")[-1]
        assert (environment.settings.pick_up_object, environment.settings.hdr) == (
            "rubiks_cube_hot3d_robolab",
            "home_office_robolab",
        )
        assert environment.enable_cameras
        assert sorted(overrides) == [
            "droid_rel_joint_pos.camera_extrinsics_wrist_camera.enabled=true",
            "light.hdr_image.enabled=true",
            "light.intensity.enabled=true",
        ]
    pool.get(jobs[1])
    environment, builder, overrides = lab.logged("builder")[-1]
    assert (environment.settings.object, environment.embodiment) == ("cracker_box", "gr1_joint")
    assert (builder.num_envs, builder.seed, builder.device, overrides) == (1, 42, "cpu", [])
    seed, num_envs, configuration = lab.logged("make")[-1]
    assert (seed, num_envs, configuration.sim.device) == (42, 1, "cpu")


def test_the_builders_own_values(lab: Any, pool: EnvironmentPool) -> None:
    builder = {"env_spacing": 2.5, "placement_seed": 7, "solve_relations": False, "mimic": True}
    lists = {"pick_up_object": "cube", "additional_table_objects": ["a", "b"]}
    pool.get(arena_job(args=lists, environment={**MAPLE, "options": {"args": lists, "builder": builder}}))
    environment, built, _ = lab.logged("builder")[-1]
    assert {key: getattr(built, key) for key in builder} == builder
    assert list(environment.settings.additional_table_objects) == ["a", "b"]


def test_a_preset_is_one_of_arenas_own(newest: Any, pool: EnvironmentPool) -> None:
    pool.get(arena_job(environment={"options": {"builder": {"presets": "newton"}}}))
    assert newest.logged("builder")[-1][1].presets.name == "NEWTON"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"environment": {"id": "countin"}},
            r"environment.id: IsaacLab-Arena has no environment 'countin' \(did you mean",
        ),
        ({"args": {"objekt": 1}}, r"environment.options.args: CountingCfg has no 'objekt'"),
        (
            {"environment": MAPLE},
            r"environment.options.args: .*missing 1 required positional argument: 'pick_up_object'",
        ),
        (
            {"environment": {"options": {"builder": {"preset": "x"}}}},
            r"builder: ArenaEnvBuilderCfg has no 'preset' \(did",
        ),
        (
            {"environment": {"options": {"builder": {"presets": "x"}}}},
            "builder: presets: expected one of physx, newton, got 'x'",
        ),
        (
            {"environment": {"id": "nowhere:Nothing"}},
            "environment.id: cannot import 'nowhere:Nothing': No module",
        ),
    ],
)
def test_mistakes_are_named_with_their_key(
    newest: Any, pool: EnvironmentPool, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        pool.get(arena_job(**changes))
    assert not newest.logged("make")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environment": {"id": "countin"}}, "environment.options.args: .*invalid choice: 'countin'"),
        ({"args": {"objekt": 1}}, "environment.options.args: unrecognized arguments: --objekt 1"),
        (
            {"environment": {"options": {"builder": {"presets": "x"}}}},
            "builder: this IsaacLab-Arena has no 'presets'",
        ),
        ({"environment": {"id": "scene.yaml"}}, "cannot build environments from graphs"),
        (
            {"record": {"trajectory": True}},
            "record.trajectory: this IsaacLab-Arena cannot record trajectories",
        ),
    ],
)
def test_a_parser_that_refuses_does_not_end_the_process(
    oldest: Any, pool: EnvironmentPool, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        pool.get(arena_job(**changes))
    pool.get(arena_job())


def test_trajectories_are_recorded_where_the_builder_can(newest: Any, pool: EnvironmentPool) -> None:
    pool.get(arena_job(record={"trajectory": True}))
    assert newest.logged("builder")[-1][1].record_trajectories is True


EXTERNAL = """
from types import SimpleNamespace
from isaaclab_arena_environments.environments import ExampleEnvironmentBase

class Mine(ExampleEnvironmentBase):
    name = "mine_of_my_own"

    @staticmethod
    def add_cli_args(parser):
        parser.add_argument("--mass", type=float, required=True)

    def get_env(self, args_cli):
        return SimpleNamespace(
            name=self.name, enable_cameras=args_cli.enable_cameras, settings=args_cli, embodiment="x",
            script=None, broken_at=None, recorders=True, metrics={},
        )
"""


def test_an_environment_of_ones_own_can_be_built_again(
    lab: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "my_environments.py").write_text(EXTERNAL)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        args = {"mass": 2.5, "enable_cameras": True}
        job = arena_job(
            args=args, environment={"id": "my_environments:Mine"}, rollout={"episodes": 5, "rebuilds": 2}
        )
        record = evaluate(job, output=tmp_path)
    finally:
        sys.modules.pop("my_environments", None)
    assert record.episodes["measured"] == 5
    assert [seed for seed, _, _ in lab.logged("make")] == [0, 1]
    environment, builder, _ = lab.logged("builder")[-1]
    assert (environment.settings.mass, environment.settings.num_envs, builder.seed) == (2.5, 4, 1)
    assert environment.enable_cameras


@pytest.mark.parametrize("generation", GENERATIONS[1:])
def test_a_graph_has_arguments_of_its_own(
    generation: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pool: EnvironmentPool
) -> None:
    graph = tmp_path / "scene.yaml"
    graph.write_text("cli_override_specs: [pick_up_object]")
    with stand_in(generation, monkeypatch) as lab:
        pool.get(
            arena_job(
                args={"pick_up_object": "banana"},
                environment={"id": str(graph), "variations": {"light": {"intensity": {"enabled": True}}}},
            )
        )
        environment, builder, overrides = lab.logged("builder")[-1]
        assert environment.settings.pick_up_object == "banana"
        assert builder.num_envs == 4
        assert overrides == ["light.intensity.enabled=true"]
        pool.clear()


@pytest.mark.parametrize("written", ["builder", "args"])
def test_a_graph_is_built_by_a_typed_configuration(newest: Any, tmp_path: Path, written: str) -> None:
    """Fields that Arena's command line has no flags for, and that older files write with the arguments."""
    graph, recorded = tmp_path / "scene.yaml", tmp_path / "recorded.jsonl"
    graph.write_text("cli_override_specs: [pick_up_object]")
    recorded.write_text('{"variations": {"light.intensity": 7.0}}\n' * 8)
    builder = {
        "presets": "newton",
        "recorded_variation_samples_path": str(recorded),
        "camera_height": 90,
        "mimic": True,
        "env_spacing": 2.5,
    }
    options = {written: {**({} if written == "builder" else {"pick_up_object": "banana"}), **builder}}
    args = {"pick_up_object": "banana"} if written == "builder" else options.pop("args")
    environment = {
        "id": str(graph),
        "options": options,
        "variations": {"light": {"intensity": {"enabled": True}}},
    }
    job = arena_job(args=args, environment=environment, record={"trajectory": True})
    find_simulator(job).launch(job)
    env = find_simulator(job).make(job)
    described, configuration, overrides = newest.logged("builder")[-1]
    assert type(configuration).__name__ == "ArenaEnvBuilderCfg"
    assert configuration.presets.name == "NEWTON"
    assert {key: getattr(configuration, key) for key in builder if key != "presets"} == {
        key: value for key, value in builder.items() if key != "presets"
    }
    assert (configuration.num_envs, configuration.seed, configuration.record_trajectories) == (4, 0, True)
    assert described.settings.pick_up_object == "banana"
    assert overrides == ["light.intensity.enabled=true"]
    env.close()


def test_fields_of_the_builder_are_found_among_the_arguments(newest: Any, pool: EnvironmentPool) -> None:
    """A file of the older format writes both together; which are the builder's, its dataclass says."""
    pool.get(arena_job(args={"camera_height": 90, "presets": "physx", "broken_at": 7}))
    environment, configuration, _ = newest.logged("builder")[-1]
    assert (configuration.camera_height, configuration.presets.name) == (90, "PHYSX")
    assert environment.broken_at == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"builder": {"record_trajectories": "yes"}}, "unknown key; it stands under record.trajectory"),
        ({"builder": {"recorder_dataset_filename": "x"}}, "unknown key; the file is in the job's folder"),
        ({"recorded_variations": ["none.jsonl"]}, r"expected files of recorded episodes: .*none.jsonl"),
    ],
)
def test_what_the_builder_cannot_be_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(JobFileError, match=message):
        validate(arena_job(environment={"options": options}))


@pytest.mark.parametrize(
    ("contents", "changes", "message"),
    [
        (["{}\n" * 8], {"rollout": {"episodes": 7}}, "expected episodes: 8 and rebuilds: 1, as the files"),
        (["{}\n"] * 8, {}, "expected episodes: 8 and rebuilds: 8, as the files"),
        (["{}\n", "{}\n" * 7], {"rollout": {"episodes": 8, "rebuilds": 2}}, "files of 4, 4 .* got 1, 7"),
        (["{}\n" * 8], {"rollout": {"episodes": 8, "shards": 2}}, "cannot be split over shards"),
        (["{}\nno\n"], {}, r"0.jsonl: line 2: expected the record of an episode"),
        ([""], {}, "there are no episodes in it"),
    ],
)
def test_recorded_variations_must_be_what_the_job_runs(
    tmp_path: Path, contents: list[str], changes: dict[str, Any], message: str
) -> None:
    files = [tmp_path / f"{number}.jsonl" for number in range(len(contents))]
    for file, text in zip(files, contents, strict=True):
        file.write_text(text)
    options = {"recorded_variations": [str(file) for file in files]}
    with pytest.raises(JobFileError, match=message):
        validate(arena_job(environment={"options": options}, **changes))


def test_an_arena_that_cannot_replay_variations_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "recorded.jsonl").write_text("{}\n" * 8)
    options = {"recorded_variations": [str(tmp_path / "recorded.jsonl")]}
    refused = pytest.raises(EvaluationError, match="this IsaacLab-Arena cannot replay variations")
    with stand_in("0.3.0", monkeypatch), refused:
        EnvironmentPool().get(arena_job(environment={"options": options}))


@pytest.mark.parametrize(
    ("name", "own"), [("cosmos_remote", {"open_loop_horizon": 4}), ("dreamzero_remote", {})]
)
def test_policies_of_todays_registry_run_with_their_settings(
    newest: Any, tmp_path: Path, name: str, own: dict[str, Any]
) -> None:
    settings = {"remote_host": "gpu-box", "remote_port": 9000, "policy_device": "cpu", **own}
    job = arena_job(policy={"type": name, **settings}, rollout={"episodes": 4})
    validate(job)  # known where there is no Arena
    assert evaluate(job, output=tmp_path).episodes["measured"] == 4
    _, configuration = newest.logged("policy")[-1]
    assert {key: getattr(configuration, key) for key in settings} == settings


def test_an_unknown_variation_is_refused_with_those_that_there_are(
    newest: Any, pool: EnvironmentPool
) -> None:
    with pytest.raises(ValueError, match=r"no variation lihgt.*valid ones: light.hdr_image, light.intensity"):
        pool.get(arena_job(environment={"variations": {"lihgt": {"intensity": {"enabled": True}}}}))


def test_the_builder_is_told_nothing_twice() -> None:
    job = arena_job(environment={"options": {"builder": {"num_envs": 8}}})
    with pytest.raises(
        JobFileError, match=r"builder.num_envs: unknown key; it stands under environment.num_envs"
    ):
        validate(job)


def test_an_empty_variation_is_refused_at_collection() -> None:
    job = arena_job(environment={"variations": {"light": {"": 1}}})
    with pytest.raises(
        JobFileError, match=r"environment.variations: expected names of variations, got an empty one"
    ):
        validate(job)


# -- policies


def test_registered_policies_of_every_style(lab: Any, pool: EnvironmentPool) -> None:
    env = pool.get(arena_job())
    settings = {
        "rl_games": {"checkpoint": "run.pt", "joints": ["a", "b"], "deterministic": True},
        "gr00t_closedloop": {"policy_config_yaml_path": "x.yaml"},
        "replay_lerobot": {"replay_file_path": "demo.hdf5"},
    }
    for name, given in settings.items():
        job = arena_job(policy={"type": name, **given})
        validate(job)
        make_policy(job, env).close()
    made = dict(lab.logged("policy"))
    assert made["ByArguments"] == {
        "checkpoint": "run.pt",
        "joints": ["a", "b"],
        "deterministic": True,
        "num_envs": 4,
        "device": "cpu",
    }
    assert (made["ByDict"].policy_config_yaml_path, made["ByDict"].num_envs) == ("x.yaml", 4)
    assert made["Replay"].replay_file_path == "demo.hdf5"
    assert len(lab.logged("policy.close")) == 3


def test_a_dotted_class_is_imported_once_the_app_runs(lab: Any, pool: EnvironmentPool) -> None:
    job = arena_job(policy={"type": "isaaclab_arena.policy.ByDict", "policy_config_yaml_path": "x.yaml"})
    validate(job)
    make_policy(job, pool.get(job))
    assert lab.logged("policy")[0][0] == "ByDict"


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (
            {"type": "replay_lerobot", "replay_file": "x"},
            r"jobs.job.policy: Replay: ReplayCfg has no 'replay_file' \(did you mean",
        ),
        (
            {"type": "rl_games"},
            "jobs.job.policy: ByArguments: the following arguments are required: --checkpoint",
        ),
    ],
)
def test_wrong_settings_of_a_registered_policy(
    newest: Any, pool: EnvironmentPool, policy: Any, message: str
) -> None:
    job = arena_job(policy=policy)
    with pytest.raises(JobFileError, match=message):
        make_policy(job, pool.get(job))


def test_a_policy_that_this_arena_lacks(newest: Any, pool: EnvironmentPool) -> None:
    job = arena_job(policy={"type": "dreamzero"})
    validate(job)
    with pytest.raises(
        EvaluationError,
        match=r"no policy 'dreamzero'.*; it has cosmos_remote, dreamzero_remote, gr00t_closedloop, replay_l",
    ):
        make_policy(job, pool.get(job))


def test_a_replay_runs_for_as_long_as_it_is(lab: Any, tmp_path: Path) -> None:
    policy = {"type": "replay_lerobot", "replay_file_path": "demo.hdf5"}
    record = evaluate(arena_job(policy=policy, rollout={"steps": "policy"}), output=tmp_path)
    assert record.steps == 7
    assert "limited by steps" in record.notes[0]


def test_policies_are_reset_where_the_environment_is(lab: Any, tmp_path: Path) -> None:
    policy = {"type": "gr00t_closedloop", "policy_config_yaml_path": "x.yaml"}
    evaluate(arena_job(policy=policy, rollout={"episodes": 6}), output=tmp_path)
    resets = [entry for (entry,) in lab.logged("policy.reset")]
    assert resets == [None, ([0], "cpu"), ([1], "cpu")]
