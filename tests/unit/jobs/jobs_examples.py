"""Job files that load, shared by the tests of this folder."""

METAWORLD = """\
defaults:
  simulator: metaworld
  environment: {num_envs: 4, seed: 0, cameras: {corner2: {width: 256, height: 256}}}
  rollout: {episodes: 20}
  policy: {type: metaworld_expert}
jobs:
  reach:
    environment: {id: reach-v3}
    thresholds: {success_rate: ">= 0.95", episode_length: "<= 200"}
    tags: [smoke]
  door_open:
    environment: {id: door-open-v3}
    thresholds: {success_rate: ">= 0.80"}
"""

ZERO_ACTION = """\
{"jobs":[{"name":"gr1_open_microwave_cracker_box",
 "arena_env_args":{"environment":"gr1_open_microwave","object":"cracker_box","embodiment":"gr1_joint"},
 "num_episodes":4,"num_rebuilds":2,"policy_type":"zero_action","policy_config_dict":{}}]}
"""

GETTING_STARTED = """\
{"jobs":[
 {"name":"01_baseline","arena_env_args":{"environment":"pick_and_place_maple_table",
   "embodiment":"droid_rel_joint_pos","pick_up_object":"rubiks_cube_hot3d_robolab",
   "destination_location":"bowl_ycb_robolab","hdr":"home_office_robolab"},
  "num_steps":50,"policy_type":"zero_action","policy_config_dict":{}},
 {"name":"02_swap_objects","arena_env_args":{"environment":"pick_and_place_maple_table",
   "embodiment":"droid_rel_joint_pos","pick_up_object":"mustard_bottle_hot3d_robolab",
   "destination_location":"wooden_bowl_hot3d_robolab","hdr":"home_office_robolab"},
  "num_steps":50,"policy_type":"zero_action","policy_config_dict":{}},
 {"name":"03_change_background_hdr","arena_env_args":{"environment":"pick_and_place_maple_table",
   "embodiment":"droid_rel_joint_pos","pick_up_object":"rubiks_cube_hot3d_robolab",
   "destination_location":"bowl_ycb_robolab","hdr":"billiard_hall_robolab"},
  "num_steps":50,"policy_type":"zero_action","policy_config_dict":{}},
 {"name":"04_parallel_envs","arena_env_args":{"environment":"pick_and_place_maple_table",
   "embodiment":"droid_rel_joint_pos","pick_up_object":"rubiks_cube_hot3d_robolab",
   "destination_location":"bowl_ycb_robolab","num_envs":64},
  "num_steps":50,"policy_type":"zero_action","policy_config_dict":{}}]}
"""

GR00T = """\
{"jobs":[
 {"name":"gr1_open_microwave_cracker_box",
  "arena_env_args":{"enable_cameras":true,"environment":"gr1_open_microwave","object":"cracker_box",
   "embodiment":"gr1_joint"},
  "num_steps":10,
  "policy_type":"isaaclab_arena_gr00t.policy.gr00t_closedloop_policy.Gr00tClosedloopPolicy",
  "policy_args":{"policy_config_yaml_path":
   "isaaclab_arena_gr00t/policy/config/gr1_manip_gr00t_closedloop_config.yaml","policy_device":"cuda:0"}},
 {"name":"g1_locomanip_pick_and_place_brown_box",
  "arena_env_args":{"enable_cameras":true,"environment":"galileo_g1_locomanip_pick_and_place",
   "object":"brown_box","embodiment":"g1_wbc_joint"},
  "num_steps":10,
  "policy_type":"isaaclab_arena_gr00t.policy.gr00t_closedloop_policy.Gr00tClosedloopPolicy",
  "policy_args":{"policy_config_yaml_path":
   "isaaclab_arena_gr00t/policy/config/g1_locomanip_gr00t_closedloop_config.yaml",
   "policy_device":"cuda:0"}}]}
"""

VARIATIONS_JSON = """\
{"jobs":[{"name":"variations_demo",
 "arena_env_args":{"enable_cameras":true,"environment":"pick_and_place_maple_table",
  "embodiment":"droid_rel_joint_pos","pick_up_object":"rubiks_cube_hot3d_robolab",
  "destination_location":"bowl_ycb_robolab","hdr":"home_office_robolab"},
 "num_steps":10,"num_rebuilds":1,"policy_type":"zero_action","policy_config_dict":{},
 "variations":{"light":{"hdr_image":{"enabled":true},"intensity":{"enabled":true}},
  "droid_rel_joint_pos":{"camera_extrinsics_wrist_camera":{"enabled":true}}}}]}
"""

SHARED_RUNS = """\
shared:
  environment: {type: pick_and_place_maple_table, embodiment: droid_rel_joint_pos, hdr: home_office_robolab}
  policy: {type: zero_action}
  rollout_limit: {num_steps: 50}
runs:
  baseline: {}
  billiard_hall:
    environment: {hdr: billiard_hall_robolab}
"""

VARIATIONS_YAML = """\
runs:
- name: variations_demo
  environment: {type: pick_and_place_maple_table, enable_cameras: true, embodiment: droid_rel_joint_pos,
    pick_up_object: rubiks_cube_hot3d_robolab, destination_location: bowl_ycb_robolab,
    hdr: home_office_robolab}
  policy: {type: zero_action}
  rollout_limit: {num_steps: 10}
  num_rebuilds: 1
  variations:
    light: {hdr_image: {enabled: true}, intensity: {enabled: true}}
    droid_rel_joint_pos: {camera_extrinsics_wrist_camera: {enabled: true}}
"""

# file name -> text
ALL = {
    "metaworld.yaml": METAWORLD,
    "zero_action.json": ZERO_ACTION,
    "getting_started.json": GETTING_STARTED,
    "gr00t.json": GR00T,
    "variations.json": VARIATIONS_JSON,
    "shared_runs.yaml": SHARED_RUNS,
    "variations.yaml": VARIATIONS_YAML,
}
