"""Images without OpenGL: the right things in the right places, and said to be what they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

pytest.importorskip("metaworld")

import gymnasium
import mujoco

from pytest_arena import Camera, VideoRecorder, evaluate
from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv
from pytest_arena.simulators.mujoco.metaworld import CAMERAS, MetaworldEnv
from pytest_arena.simulators.mujoco.raycasting import RAY_CASTING, RayCaster
from pytest_arena.simulators.mujoco.rendering import OPENGL, Renderer
from tests.jobs import make_job
from tests.lacking import lacking

# Seen from above with y upwards: red left above, blue right, green (a goal's site) below.
SCENE = """
<mujoco>
  <asset>
    <texture name="t" type="2d" builtin="flat" rgb1="0 0 1" rgb2="0 0 1" width="8" height="8"/>
    <material name="blue" texture="t" rgba="1 1 1 1"/>
  </asset>
  <worldbody>
    <camera name="above" pos="0 0 2" xyaxes="1 0 0 0 1 0" fovy="60"/>
    <geom type="sphere" size="0.2" pos="-0.5 0.5 0" rgba="1 0 0 1"/>
    <geom type="box" size="0.2 0.2 0.2" pos="0.6 0 0" material="blue"/>
    <geom type="box" size="0.3 0.3 0.1" pos="0.6 0 0.5" rgba="1 1 0 1" group="4"/>
    <geom type="box" size="0.3 0.3 0.1" pos="-0.5 0.5 0.5" rgba="1 1 0 0"/>
    <site type="sphere" size="0.1" pos="0 -0.6 0" rgba="0 1 0 1"/>
    <site type="sphere" size="0.1" pos="0.6 0 -0.2" rgba="0 1 0 1"/>
    <site type="sphere" size="0.1" pos="0.5 -0.6 0" rgba="0 1 0 1" group="4"/>
  </worldbody>
</mujoco>
"""


def draw(width: int, height: int, fast: bool) -> np.ndarray:
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    view = mujoco.MjvCamera()
    view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED.value, 0
    return RayCaster(model, fast=fast).render(model, data, view, width, height)


def places(image: np.ndarray, channel: int) -> tuple[float, float, int]:
    """Mean x and y, from -1 to 1 with y upwards, and the number of pixels that are of one colour."""
    others = np.delete(image.astype(int), channel, axis=2)
    found = np.argwhere((image[..., channel] > 60) & (others.max(axis=2) < 30))
    y, x = (found.mean(axis=0) + 0.5) / image.shape[:2] * 2 - 1
    return x, -y, len(found)


@pytest.mark.parametrize("fast", [True, False])
def test_things_are_where_they_are(fast: bool) -> None:
    image = draw(120, 120, fast)
    edge = 2 * np.tan(np.deg2rad(30))  # what the picture's edge is away from its centre, two metres below
    x, y, size = places(image, 0)
    assert (x, y) == pytest.approx((-0.5 / edge, 0.5 / edge), abs=0.03)
    assert size == pytest.approx(np.pi * (0.2 / edge * 60) ** 2, rel=0.2)
    assert places(image, 2)[:2] == pytest.approx((0.6 / edge, 0), abs=0.07)
    x, y, size = places(image, 1)
    assert (x, y) == pytest.approx((0, -0.6 / edge), abs=0.03)
    assert size == pytest.approx(np.pi * (0.1 / edge * 60) ** 2, rel=0.35)


@pytest.mark.parametrize(("width", "height"), [(65, 49), (16, 33), (64, 32)])
@pytest.mark.parametrize("fast", [True, False])
def test_any_size(width: int, height: int, fast: bool) -> None:
    image = draw(width, height, fast)
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8
    assert image.flags.owndata
    if width > height:
        x, y, _ = places(image, 2)
        assert (x * width / height, y) == pytest.approx((0.52, 0), abs=0.1)


@pytest.fixture
def without_opengl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    monkeypatch.delattr(mujoco, "GLContext", raising=False)


@pytest.fixture
def both() -> Iterator[Any]:
    """The same moment drawn with OpenGL and without."""
    cameras = {camera: Camera(width=96, height=96) for camera in CAMERAS}
    envs = [MetaworldEnv("door-open-v3", cameras=cameras) for _ in range(2)]
    yield envs
    for env in envs:
        env.close()


def test_the_pictures_are_those_of_opengl(both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    images = []
    for env in both:
        env.reset(seeds=[3])
        for _ in range(20):
            env.step(np.full((1, 4), 0.3))
        images.append(env.cameras.frames(np.array([0])))
        if env.cameras.notice is not None and env is both[0]:
            lacking(env.cameras.notice)
        monkeypatch.setenv("MUJOCO_GL", "disabled")
        monkeypatch.delattr(mujoco, "GLContext", raising=False)
    assert [env.identity["renderer"] for env in both] == [OPENGL, RAY_CASTING]
    # behindGripper stands in a box, whose inside OpenGL does not draw.
    for camera in sorted({*CAMERAS} - {"behindGripper"}):
        true, cast = (image[camera][0].astype(float) for image in images)
        saturation = [np.ptp(picture, axis=2).ravel() for picture in (true, cast, cast[::-1], cast[:, ::-1])]
        likeness = [np.corrcoef(saturation[0], other)[0, 1] for other in saturation[1:]]
        assert likeness[0] > 0.6, camera
        assert likeness[0] > max(likeness[1:]) + 0.1, f"{camera} is turned"


@pytest.mark.parametrize(("quality", "used"), [("auto", "fast"), ("fast", "fast"), ("full", "full")])
def test_the_renderer_says_what_it_did(without_opengl: None, quality: Any, used: str) -> None:
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = Renderer(model, quality)
    assert renderer.identity == {}
    assert renderer.notice is None
    image = renderer.render(model, data, "above", 40, 40)
    assert places(image, 0)[2] > 20
    assert renderer.identity == {"renderer": RAY_CASTING, "gl_renderer": None, "quality": used}
    assert "(MUJOCO_GL is disabled)" in str(renderer.notice)
    assert "apt-get install libegl1 libgl1" in str(renderer.notice)
    renderer.close()


def test_a_job_films_without_opengl_and_the_record_says_so(without_opengl: None, tmp_path: Path) -> None:
    environment = {
        "id": "reach-v3",
        "max_episode_steps": 15,
        "cameras": {"corner2": {"width": 48, "height": 48}},
    }
    job = make_job(simulator="metaworld", environment=environment, rollout={"episodes": 1})
    record = evaluate(job, output=tmp_path, recorders=[VideoRecorder("on")])
    assert record.identity["environment"]["renderer"] == RAY_CASTING
    assert [note for note in record.notes if "ray casting" in note] == record.notes
    (film,) = tmp_path.glob("2*/job/videos/*.mp4")
    with av.open(str(film)) as opened:
        frames = [frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)]
    assert len(frames) == 16
    assert len({frame.tobytes() for frame in frames}) > 1


def test_mujoco_environments_of_gymnasium(without_opengl: None) -> None:
    vec = gymnasium.make_vec(
        "InvertedPendulum-v5",
        2,
        vectorization_mode="sync",
        render_mode="rgb_array",
        width=64,
        height=48,
        vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.DISABLED},
    )
    env = GymnasiumEnv(vec, cameras=["render"])
    env.reset(seeds=[0, 1])
    assert env.cameras.notice is None
    first = env.cameras.frames(np.array([1]))["render"]
    assert first.shape == (1, 48, 64, 3)
    for _ in range(3):
        env.step(np.full((2, 1), 3.0))
    moved = env.cameras.frames(np.array([0, 1]))["render"]
    assert moved.shape == (2, 48, 64, 3)
    assert not np.array_equal(moved[1], first[0])
    assert env.identity["renderer"] == RAY_CASTING
    assert "MuJoCo has no OpenGL" in str(env.cameras.notice)
    env.close()
