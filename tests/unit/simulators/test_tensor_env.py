"""Isaac Lab's interface, on exact fakes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from pytest_arena import EvaluationError, RecordingError
from pytest_arena.jobs.sections import Success
from pytest_arena.simulators import tensor_cameras
from pytest_arena.simulators.isaaclab.simulator import IsaacLabEnv, MultiAgentEnv
from tests.exact import ExactContract
from tests.lab_fakes import LENGTHS, FakeLabEnv, FakeTeamEnv

torch = pytest.importorskip("torch")

ROWS = np.arange(4)


class TestManagerBased(ExactContract):
    reasons: ClassVar = ("success", "fallen", "time_out", "success")

    @pytest.fixture(params=[True, False], ids=["final-obs", "no-final-obs"])
    def env(self, request: Any) -> Any:
        return IsaacLabEnv(FakeLabEnv(final_obs=request.param))


class TestDirect(ExactContract):
    """No terms: a function that reads the state tells of success, before the state is gone."""

    reasons: ClassVar = ("success", "terminated", "time_out", "success")

    @pytest.fixture
    def env(self) -> Any:
        return IsaacLabEnv(FakeLabEnv(terms=()), Success(callable="tests.lab_fakes:held"))


class TestTeam(ExactContract):
    reasons: ClassVar = ("success", "terminated", "time_out", "success")
    rewards: ClassVar = 2

    @pytest.fixture
    def env(self) -> Any:
        return MultiAgentEnv(FakeTeamEnv(), Success(callable="tests.lab_fakes:held"))

    def actions(self, env: Any) -> Any:
        return {"arm": np.zeros((4, 2), np.float32), "base": np.zeros(4, np.int64)}


def test_a_team_needs_actions_by_agent() -> None:
    env = MultiAgentEnv(FakeTeamEnv())
    env.reset(None, [0] * 4)
    with pytest.raises(EvaluationError, match=r"expected actions by agent \(arm, base\)"):
        env.step(np.zeros((4, 2)))


def test_success_is_unmeasured_where_nobody_says() -> None:
    env = IsaacLabEnv(FakeLabEnv(terms=()))
    env.reset(None, [0] * 4)
    steps = [env.step(np.zeros((4, 2))) for _ in range(4)]
    assert all((step.success == -1).all() for step in steps)
    assert [end.reason for step in steps for end in step.ends][:3] == [
        "terminated",
        "terminated",
        "time_out",
    ]


def test_success_by_an_info_key_counts_in_its_own_step_only() -> None:
    env = IsaacLabEnv(FakeLabEnv(), Success(info_key="solved"))
    env.reset(None, [0] * 4)
    by_step = [env.step(np.zeros((4, 2))).success.tolist() for _ in range(4)]
    assert by_step == [[-1, -1, -1, -1], [0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 1]]


def with_solved(fake: FakeLabEnv, held: Any) -> IsaacLabEnv:
    """An environment whose step writes *held* as ``solved`` into its extras."""
    env = IsaacLabEnv(fake, Success(info_key="solved"))
    env.reset(None, [0] * 4)
    step = fake.step
    fake.step = lambda actions: (*step(actions)[:4], {"solved": held})  # type: ignore[method-assign]
    return env


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({"lifted": 1}, "a dict with the keys lifted, expected 4 booleans or numbers"),
        (torch.zeros(4, 2), r"a value of shape \(4, 2\), expected 4 numbers"),
        (torch.zeros(()), r"a value of shape \(\), expected 4 numbers"),
        (torch.zeros(4, dtype=torch.complex64), "values of type torch.complex64, expected 4 numbers"),
        ("False", "the text 'False', expected 4 booleans or numbers"),
        ([True, "no", True, True], "the text 'no' in row 1, expected a boolean or a number"),
    ],
)
def test_an_info_key_needs_a_number_for_each_row(held: Any, expected: str) -> None:
    with pytest.raises(EvaluationError, match=rf"^success.info_key: extras\['solved'\] is {expected}$"):
        with_solved(FakeLabEnv(), held).step(np.zeros((4, 2)))


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (torch.tensor([0.0, 1.0, float("nan"), 0.4]), [0, 1, -1, 0]),
        (torch.tensor([[False], [True], [True], [False]]), [0, 1, 1, 0]),
        (np.array([1, 0, 0, 2]), [1, 0, 0, 1]),
        ([True, None, torch.tensor([1.0]), np.bool_(False)], [1, -1, 1, 0]),
        (None, [-1, -1, -1, -1]),
    ],
)
def test_what_an_info_key_tells(held: Any, told: list[int]) -> None:
    """NaN and None are unmeasured."""
    assert with_solved(FakeLabEnv(), held).step(np.zeros((4, 2))).success.tolist() == told


def test_a_misspelt_info_key_is_an_error_when_an_episode_ends() -> None:
    env = IsaacLabEnv(FakeLabEnv(), Success(info_key="sovled"))
    env.reset(None, [0] * 4)
    env.step(np.zeros((4, 2)))
    with pytest.raises(
        EvaluationError, match=r"never had 'sovled' \(did you mean 'solved'\?\); it had log, "
    ):
        env.step(np.zeros((4, 2)))


def test_numbers_of_the_info_count_in_their_own_step_only() -> None:
    """A key that this step did not write says nothing; one that only a metric asks for may be missing."""
    env = IsaacLabEnv(FakeLabEnv(terms=()))
    env.watch_info({"solved": "success.info", "nothing": ""})
    env.reset(None, [0] * 4)
    steps = [env.step(np.zeros((4, 2))) for _ in range(3)]
    told = [step.info["solved"].tolist() for step in steps]
    assert told[1:] == [[0, 0, 0, 1], [1, 0, 0, 0]]
    assert np.isnan(told[0]).all()
    assert all(np.isnan(step.info["nothing"]).all() for step in steps)
    env.watch_info({})
    assert env.step(np.zeros((4, 2))).info == {}


def test_a_misspelt_number_of_the_info_is_an_error_when_an_episode_ends() -> None:
    env = IsaacLabEnv(FakeLabEnv())
    env.watch_info({"sovled": "metrics.best.info"})
    env.reset(None, [0] * 4)
    env.step(np.zeros((4, 2)))
    with pytest.raises(EvaluationError, match=r"^metrics\.best\.info: .* \(did you mean 'solved'\?\)"):
        env.step(np.zeros((4, 2)))


def test_a_rule_of_the_job_takes_the_place_of_the_term() -> None:
    """The term still ends episodes; that it is called success must not read as one."""
    env = IsaacLabEnv(FakeLabEnv(), Success(reward=">= 4"))
    assert (env.reset(None, [0] * 4).success == -1).all()
    steps = [env.step(np.zeros((4, 2))) for _ in range(5)]
    assert all((step.success == -1).all() for step in steps)
    assert {end.reason for step in steps for end in step.ends} == {"terminated", "fallen", "time_out"}


@pytest.mark.parametrize("name", ["reward", "terminated", "truncated"])
def test_a_step_needs_a_number_for_each_row(name: str) -> None:
    fake = FakeLabEnv()
    env = IsaacLabEnv(fake)
    env.reset(None, [0] * 4)
    step, place = fake.step, ["", "reward", "terminated", "truncated"].index(name)

    def spoilt(actions: Any) -> Any:
        given = list(step(actions))
        given[place] = torch.zeros(4, 3)
        return tuple(given)

    fake.step = spoilt  # type: ignore[method-assign]
    with pytest.raises(
        EvaluationError, match=rf"gave as {name} a value of shape \(4, 3\), expected 4 numbers"
    ):
        env.step(np.zeros((4, 2)))


def test_success_is_the_term_that_the_job_names() -> None:
    """The row that falls succeeds; those that the term ``success`` ends, or time does, do not."""
    env = IsaacLabEnv(FakeLabEnv(), Success(term="fallen"))
    assert env.reset(None, [0] * 4).success.tolist() == [0, 0, 0, 0]
    steps = [env.step(np.zeros((4, 2))) for _ in range(5)]
    assert [step.success.tolist() for step in steps] == [[0, 0, 0, 0]] * 4 + [[0, 1, 0, 0]]
    ends = {(end.env_idx, end.reason, int(step.success[end.env_idx])) for step in steps for end in step.ends}
    assert {end for end in ends if end[1] == "success"} == {(1, "success", 1)}
    assert (2, "time_out", 0) in ends


@pytest.mark.parametrize(
    ("success", "reasons"),
    [
        (Success(term="fallen"), ["terminated", "success", "time_out", "terminated"]),
        (Success(callable="tests.lab_fakes:held"), ["success", "fallen", "time_out", "success"]),
        (Success(info_key="unsure"), ["terminated", "fallen", "time_out", "terminated"]),
    ],
    ids=["another term", "a function", "unmeasured"],
)
def test_only_a_success_ends_with_the_reason_success(success: Success, reasons: list[str]) -> None:
    """Whatever a term is named: who reads ``success`` in the line of a failure would not believe the rest."""
    env = IsaacLabEnv(FakeLabEnv(), success)
    env.reset(None, [0] * 4)
    ends = [end for _ in range(5) for end in env.step(np.zeros((4, 2))).ends]
    assert {(end.env_idx, end.reason) for end in ends} == set(enumerate(reasons))


def test_an_unknown_term_names_those_there_are() -> None:
    with pytest.raises(EvaluationError, match=r"no termination term 'sucess' \(did you mean 'success'\?\)"):
        IsaacLabEnv(FakeLabEnv(), Success(term="sucess"))
    with pytest.raises(EvaluationError, match="it has no termination terms"):
        IsaacLabEnv(FakeLabEnv(terms=()), Success(term="success"))


def test_an_ended_row_without_a_term_is_no_success() -> None:
    """A visualizer can ask for a reset: rows are marked as terminated, and no term has fired."""
    fake = FakeLabEnv()
    env = IsaacLabEnv(fake)
    env.reset(None, [0] * 4)
    original = fake.termination_manager.compute
    fake.termination_manager.compute = lambda: fake.termination_manager._fired.fill_(False)  # type: ignore[method-assign]
    step = next(step for step in (env.step(np.zeros((4, 2))) for _ in range(9)) if step.ends)
    assert [(end.env_idx, end.reason) for end in step.ends] == [(3, "reset")]
    assert step.success.tolist() == [0, 0, 0, 0]
    fake.termination_manager.compute = original  # type: ignore[method-assign]


def test_success_that_holds_at_reset_is_told() -> None:
    fake = FakeLabEnv(lengths=(1, 5, 4, 2))
    env = IsaacLabEnv(fake)
    fake.lengths[0] = 0
    assert env.reset(None, [0] * 4).success.tolist() == [1, 0, 0, 0]


def test_a_reset_seeds_the_one_stream_of_the_simulator() -> None:
    fake = FakeLabEnv()
    IsaacLabEnv(fake).reset(None, [2**32 - 1, 5, 6, 7])
    assert fake.seeds == [2**31 - 1]


def test_curricula_begin_anew_with_each_rollout() -> None:
    fake = FakeLabEnv()
    env = IsaacLabEnv(fake)
    for _ in range(2):
        env.reset(None, [0] * 4)
        assert fake.common_step_counter == 0
        env.step(np.zeros((4, 2)))


def test_images_in_floats_become_bytes() -> None:
    env = IsaacLabEnv(FakeLabEnv(floats=True))
    env.reset(None, [0] * 4)
    for _ in range(2):
        env.step(np.zeros((4, 2)))
    images = env.cameras.frames(np.array([1, 2]))["wrist"]
    assert images.dtype == np.uint8
    assert images[:, 0, 0].tolist() == [[1, 0, 2], [2, 0, 2]]


def test_cameras_are_found_or_named() -> None:
    assert IsaacLabEnv(FakeLabEnv()).cameras.names == ("wrist",)
    assert IsaacLabEnv(FakeLabEnv(), cameras=["wrist"]).cameras.names == ("wrist",)
    assert IsaacLabEnv(FakeLabEnv(cameras=False)).cameras is None
    with pytest.raises(RecordingError, match=r"no camera 'wirst' \(did you mean 'wrist'\?\)"):
        IsaacLabEnv(FakeLabEnv(), cameras=["wirst"])


def test_cameras_without_colours_are_filmed_where_they_are_named() -> None:
    """Depth as metres, classes as numbers: the recorder colours them."""
    fake = FakeLabEnv()
    depth = torch.full((4, 2, 3, 1), 1.5)
    classes = torch.full((4, 2, 3, 2), 7, dtype=torch.int32)
    for name, kind, data in (
        ("far", "distance_to_image_plane", depth),
        ("what", "semantic_segmentation", classes),
    ):
        fake.scene.sensors[name] = SimpleNamespace(
            cfg=SimpleNamespace(data_types=[kind]), data=SimpleNamespace(output={kind: data})
        )
    assert IsaacLabEnv(fake).cameras.names == ("wrist",)
    vars(fake).pop("_reset_idx")
    env = IsaacLabEnv(fake, cameras=["far", "what", "wrist"])
    env.reset(None, [0] * 4)
    images = env.cameras.frames(np.array([2]))
    assert {name: (image.shape[1:], image.dtype.name) for name, image in images.items()} == {
        "far": ((2, 3, 1), "float32"),
        "what": ((2, 3, 1), "int32"),
        "wrist": ((4, 6, 3), "uint8"),
    }
    env.cameras.choose(["far"])
    assert list(env.cameras.frames(np.array([2]))) == ["far"]


def test_nothing_is_rendered_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    env = IsaacLabEnv(FakeLabEnv())
    monkeypatch.setattr(tensor_cameras, "gather", lambda *args: pytest.fail("an image was made"))
    env.reset(None, [0] * 4)
    for _ in range(6):
        for end in env.step(np.zeros((4, 2))).ends:
            assert env.cameras.last_frames(np.array([end.env_idx])) is None


def test_images_are_gathered_once_a_camera_and_step_and_of_filmed_rows_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = IsaacLabEnv(FakeLabEnv())
    gather, asked = tensor_cameras.gather, []

    def watched(images: Any, rows: Any) -> Any:
        asked.append(rows.tolist())
        return gather(images, rows)

    monkeypatch.setattr(tensor_cameras, "gather", watched)
    env.begin(4)
    env.reset(None, [0] * 4)
    filmed = np.array([1, 3])
    env.cameras.frames(filmed)
    step = env.step(np.zeros((4, 2)))
    env.cameras.frames(filmed)
    assert step.ends == ()
    assert asked == [[1, 3], [1, 3]]
    seen = {}
    while len(seen) < 4:
        asked.clear()
        step = env.step(np.zeros((4, 2)))
        ended = [end.env_idx for end in step.ends]
        assert asked == ([[row for row in ended if row in filmed]] if {1, 3} & {*ended} else [])
        for row in ended:
            frames = env.cameras.last_frames(np.array([row]))
            seen.setdefault(row, frames is not None and bool(frames["wrist"][0].any()))
    assert seen == {0: False, 1: True, 2: False, 3: True}
    env.begin(4)
    env.reset(None, [0] * 4)
    asked.clear()
    for _ in range(6):
        env.step(np.zeros((4, 2)))
    assert asked == [], "nobody films in this rollout"


def test_actions_reach_the_simulator_as_floats_on_its_device() -> None:
    fake = FakeLabEnv()
    seen = []
    original = fake.step
    fake.step = lambda action: (seen.append(action), original(action))[1]  # type: ignore[method-assign]
    env = IsaacLabEnv(fake)
    env.reset(None, [0] * 4)
    env.step(np.zeros((4, 2), np.float64))
    env.step(torch.zeros((4, 2), dtype=torch.float64))
    assert [action.dtype for action in seen] == [torch.float32] * 2


def test_closing_twice_closes_once_and_lets_go() -> None:
    fake = FakeLabEnv()
    env = IsaacLabEnv(fake)
    env.close()
    env.close()
    assert fake.closed_times == 1
    assert "_reset_idx" not in vars(fake)


def test_the_horizon_is_the_simulators() -> None:
    assert IsaacLabEnv(FakeLabEnv()).max_episode_steps == max(LENGTHS)
