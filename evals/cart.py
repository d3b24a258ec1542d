"""A small task for Isaac Lab 3.0 that needs no asset server and no Isaac Sim: park a cart on its rail.

The cart begins somewhere left of the middle, at rest. It is parked when it stands within 5 cm of the mark. It
fails when it runs off the rail, or in 4 seconds. The robot is written here, with USD's own library.

    pytest evals/test_isaaclab.py            # see docs/isaaclab.md for the installation
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import isaaclab.envs.mdp as mdp
import isaaclab.sim as sim_utils
import torch
from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg, AssetBaseCfg
from isaaclab.envs import ManagerBasedRLEnvCfg
from isaaclab.managers import (
    EventTermCfg,
    ObservationGroupCfg,
    ObservationTermCfg,
    RewardTermCfg,
    SceneEntityCfg,
    TerminationTermCfg,
)
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.sensors import CameraCfg
from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass
from isaaclab_newton.physics import MJWarpSolverCfg, NewtonCfg
from isaaclab_newton.renderers import NewtonWarpRendererCfg
from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics

MARK = 0.8
"""Where the cart should stand, in metres from the rail's middle."""
RAIL = 1.8
"""How far it may go to either side."""


def write_robot(path: Path) -> Path:
    """Write the cart on its rail as a USD file: one prismatic joint along x."""
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    robot = UsdGeom.Xform.Define(stage, "/Robot")
    stage.SetDefaultPrim(robot.GetPrim())
    UsdPhysics.ArticulationRootAPI.Apply(robot.GetPrim())
    _box(stage, "/Robot/rail", (2 * RAIL + 0.4, 0.06, 0.06), 5.0, (0.45, 0.45, 0.5))
    _box(stage, "/Robot/cart", (0.3, 0.25, 0.2), 1.0, (0.85, 0.3, 0.15))
    fixed = UsdPhysics.FixedJoint.Define(stage, "/Robot/root_joint")
    fixed.CreateBody1Rel().SetTargets([Sdf.Path("/Robot/rail")])
    slide = UsdPhysics.PrismaticJoint.Define(stage, "/Robot/slide")
    slide.CreateBody0Rel().SetTargets([Sdf.Path("/Robot/rail")])
    slide.CreateBody1Rel().SetTargets([Sdf.Path("/Robot/cart")])
    slide.CreateAxisAttr("X")
    slide.CreateLowerLimitAttr(-4.0)
    slide.CreateUpperLimitAttr(4.0)
    UsdPhysics.DriveAPI.Apply(slide.GetPrim(), "linear")
    stage.GetRootLayer().Save()
    return path


def _box(
    stage: Usd.Stage, path: str, size: tuple[float, ...], mass: float, colour: tuple[float, ...]
) -> None:
    body = UsdGeom.Xform.Define(stage, path)
    UsdPhysics.RigidBodyAPI.Apply(body.GetPrim())
    UsdPhysics.MassAPI.Apply(body.GetPrim()).CreateMassAttr(mass)
    shape = UsdGeom.Cube.Define(stage, f"{path}/shape")
    shape.CreateSizeAttr(1.0)
    shape.AddScaleOp().Set(Gf.Vec3f(*size))
    shape.CreateDisplayColorAttr([Gf.Vec3f(*colour)])


ROBOT = ArticulationCfg(
    prim_path="{ENV_REGEX_NS}/Robot",
    spawn=sim_utils.UsdFileCfg(usd_path=str(write_robot(Path(tempfile.mkdtemp(), "cart.usda")))),
    init_state=ArticulationCfg.InitialStateCfg(pos=(0.0, 0.0, 0.6), joint_pos={"slide": 0.0}),
    actuators={
        "cart": ImplicitActuatorCfg(
            joint_names_expr=["slide"], joint_effort_limit=100.0, stiffness=0.0, damping=1.0
        )
    },
)


@configclass
class CartSceneCfg(InteractiveSceneCfg):
    """A cart, its mark, and a camera that sees both."""

    robot: ArticulationCfg = ROBOT
    mark = AssetBaseCfg(
        prim_path="{ENV_REGEX_NS}/Mark",
        init_state=AssetBaseCfg.InitialStateCfg(pos=(MARK, 0.3, 0.6)),
        spawn=sim_utils.CuboidCfg(
            size=(0.1, 0.05, 0.6), visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.1, 0.6, 0.2))
        ),
    )
    light = AssetBaseCfg(
        prim_path="/World/Light", spawn=sim_utils.DistantLightCfg(intensity=2000.0, color=(1.0, 1.0, 1.0))
    )
    side = CameraCfg(
        prim_path="{ENV_REGEX_NS}/Side",
        offset=CameraCfg.OffsetCfg(
            pos=(0.0, -4.0, 1.2), rot=(0.0, 0.0, 0.7071068, 0.7071068), convention="world"
        ),
        width=192,
        height=96,
        data_types=["rgb"],
        spawn=sim_utils.PinholeCameraCfg(focal_length=20.0, horizontal_aperture=22.0),
        renderer_cfg=NewtonWarpRendererCfg(use_cuda_graph=False),
    )


def position(env, asset_cfg: SceneEntityCfg) -> torch.Tensor:
    """Return the cart's place on the rail, (N,) in metres."""
    return env.scene[asset_cfg.name].data.joint_pos.torch[:, 0]


def parked(env, asset_cfg: SceneEntityCfg) -> torch.Tensor:
    """Whether the cart stands at its mark."""
    speed = env.scene[asset_cfg.name].data.joint_vel.torch[:, 0]
    return ((position(env, asset_cfg) - MARK).abs() < 0.05) & (speed.abs() < 0.1)


def off_rail(env, asset_cfg: SceneEntityCfg) -> torch.Tensor:
    """Whether the cart has run off."""
    return position(env, asset_cfg).abs() > RAIL


@configclass
class ActionsCfg:
    """One force along the rail, in [-1, 1] of 20 N."""

    push = mdp.JointEffortActionCfg(asset_name="robot", joint_names=["slide"], scale=20.0)


@configclass
class ObservationsCfg:
    """Position and speed."""

    @configclass
    class PolicyCfg(ObservationGroupCfg):
        """What a policy sees: (N, 2)."""

        position = ObservationTermCfg(func=mdp.joint_pos)
        speed = ObservationTermCfg(func=mdp.joint_vel)

        def __post_init__(self):
            self.enable_corruption = False
            self.concatenate_terms = True

    policy: PolicyCfg = PolicyCfg()


@configclass
class EventsCfg:
    """Where the cart begins."""

    start = EventTermCfg(
        func=mdp.reset_joints_by_offset,
        mode="reset",
        params={
            "asset_cfg": SceneEntityCfg("robot", joint_names=["slide"]),
            "position_range": (-1.2, 0.0),
            "velocity_range": (0.0, 0.0),
        },
    )


@configclass
class RewardsCfg:
    """One a second for being there."""

    parked = RewardTermCfg(func=mdp.is_alive, weight=1.0)


@configclass
class TerminationsCfg:
    """Success, failure, time."""

    success = TerminationTermCfg(func=parked, params={"asset_cfg": SceneEntityCfg("robot")})
    off_rail = TerminationTermCfg(func=off_rail, params={"asset_cfg": SceneEntityCfg("robot")})
    time_out = TerminationTermCfg(func=mdp.time_out, time_out=True)


@configclass
class CartEnvCfg(ManagerBasedRLEnvCfg):
    """The whole task."""

    scene: CartSceneCfg = CartSceneCfg(num_envs=4, env_spacing=6.0)
    observations: ObservationsCfg = ObservationsCfg()
    actions: ActionsCfg = ActionsCfg()
    events: EventsCfg = EventsCfg()
    rewards: RewardsCfg = RewardsCfg()
    terminations: TerminationsCfg = TerminationsCfg()
    sim: SimulationCfg = SimulationCfg(
        dt=1 / 120,
        render_interval=4,
        physics=NewtonCfg(
            solver_cfg=MJWarpSolverCfg(njmax=40, nconmax=40, integrator="implicitfast"),
            num_substeps=1,
            use_cuda_graph=False,
        ),
    )
    decimation = 4
    episode_length_s = 4.0


class Driver:
    """A scripted controller: a spring to the mark, and a damper."""

    reproducible = True

    def __init__(self, stiffness: float = 1.5, damping: float = 0.9, env=None) -> None:
        """*stiffness* in 1/m and *damping* in s/m, of the full force."""
        self.stiffness, self.damping = stiffness, damping

    def act(self, observation):
        """Return the push, (N, 1) in [-1, 1]."""
        place, speed = observation["policy"].split(1, dim=1)
        return (self.stiffness * (MARK - place) - self.damping * speed).clamp(-1.0, 1.0)
