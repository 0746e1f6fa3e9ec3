"""The actor: a body that could be one, actions that look like their names, and a truth that is exact."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from usdrl_ros.demo import ACTIONS, View, play, random_script
from usdrl_ros.recording import Recording, Segment
from usdrl_ros.skeleton.layouts import load_layout

UPRIGHT = View(height_m=0.0, tilt_deg=0.0)  # y is the height over the floor, the people face -z
SCRIPT = ["walk", "sit_down", "stand_up", "pick_up", "carry", "throw", "push", "pull", "wave", "clap"]
NEEDS = {"stand_up": ["sit_down"]}
SEEDS = range(12)

# Kinect v2, from its documentation: joint names in order, and the bones between them by name.
JOINTS = (
    "SpineBase SpineMid Neck Head ShoulderLeft ElbowLeft WristLeft HandLeft ShoulderRight ElbowRight WristRight "
    "HandRight HipLeft KneeLeft AnkleLeft FootLeft HipRight KneeRight AnkleRight FootRight SpineShoulder HandTipLeft "
    "ThumbLeft HandTipRight ThumbRight"
).split()
J = {name: index for index, name in enumerate(JOINTS)}
BONES = [("SpineBase", "SpineMid"), ("SpineMid", "SpineShoulder"), ("SpineShoulder", "Neck"), ("Neck", "Head")]
for _side in ("Left", "Right"):
    BONES += [("SpineShoulder", f"Shoulder{_side}"), ("SpineBase", f"Hip{_side}")]
    _arm, _leg = ["Shoulder", "Elbow", "Wrist", "Hand", "HandTip"], ["Hip", "Knee", "Ankle", "Foot"]
    for _chain in (_arm, ["Wrist", "Thumb"], _leg):
        BONES += [(f"{a}{_side}", f"{b}{_side}") for a, b in pairwise(_chain)]


def perform(action: str, seed: int, **options) -> tuple[Recording, Segment, np.ndarray]:
    """The action without noise, its segment, and the joints (T, 25, 3) while it is on."""
    recording = play([*NEEDS.get(action, []), action], seed=seed, noise_m=0.0, **{"view": UPRIGHT, **options})
    segment = recording.segments[-1]
    assert segment.action == action
    return recording, segment, during(recording, segment.start, segment.end)


def during(recording: Recording, start: float, end: float, person_id: str = "person_1") -> np.ndarray:
    return recording.joints[person_id][(recording.stamps >= start) & (recording.stamps <= end)]


def distance(joints: np.ndarray, first: str, second: str) -> np.ndarray:
    return np.linalg.norm(joints[:, J[first]] - joints[:, J[second]], axis=-1)


def heights(joints: np.ndarray, *names: str) -> np.ndarray:
    return joints[:, [J[name] for name in names], 1]


def leg_length(joints: np.ndarray) -> float:
    return float(distance(joints[:1], "HipLeft", "KneeLeft")[0] + distance(joints[:1], "KneeLeft", "AnkleLeft")[0])


def arm_length(joints: np.ndarray) -> float:
    return float(
        distance(joints[:1], "ShoulderLeft", "ElbowLeft")[0] + distance(joints[:1], "ElbowLeft", "WristLeft")[0]
    )


def frame_of_body(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (T, 3) to the body's left and forward, level, from the hips."""
    left = joints[:, J["HipLeft"]] - joints[:, J["HipRight"]]
    left[:, 1] = 0.0
    left /= np.linalg.norm(left, axis=-1, keepdims=True)
    return left, np.cross(left, [0.0, 1.0, 0.0])


# The body


@pytest.mark.parametrize("seed", SEEDS)
def test_bones_keep_their_length(seed: int) -> None:
    joints = play(SCRIPT, seed=seed, noise_m=0.0).joints["person_1"]
    for first, second in BONES:
        lengths = distance(joints, first, second)
        assert np.ptp(lengths) < 1e-9, (first, second)
        assert 0.01 < lengths[0] < 0.7, (first, second)


def test_bodies_are_of_many_heights_within_the_range() -> None:
    tall = []
    for seed in range(40):
        joints = play(["clap"], seed=seed, noise_m=0.0, view=UPRIGHT, rate_hz=10).joints["person_1"]
        tall.append(float(joints[0, J["Head"], 1] + distance(joints[:1], "Head", "Neck")[0] * 0.7))  # to the crown
    assert 1.0 < min(tall) < 1.5
    assert 1.75 < max(tall) < 2.1
    children = play(["clap"], height_m=(1.1, 1.2), noise_m=0.0, view=UPRIGHT).joints["person_1"]
    assert children[0, J["Head"], 1] < 1.25


@pytest.mark.parametrize("seed", SEEDS)
def test_left_is_left(seed: int) -> None:
    """up x forward of the feet points to the left shoulder in every right-handed frame."""
    joints = play(SCRIPT, seed=seed, noise_m=0.0, view=UPRIGHT).joints["person_1"]
    feet = sum(joints[:, J[f"Foot{side}"]] - joints[:, J[f"Ankle{side}"]] for side in ("Left", "Right"))
    across = joints[:, J["ShoulderLeft"]] - joints[:, J["ShoulderRight"]]
    agrees = (np.cross([0.0, 1.0, 0.0], feet) * across).sum(axis=-1) > 0
    assert agrees.mean() > 0.98


def test_who_faces_the_camera_has_the_left_shoulder_at_smaller_x() -> None:
    joints = play(["wave"], seed=3, view=View()).joints["person_1"]
    assert np.median(joints[:, J["ShoulderLeft"], 0] - joints[:, J["ShoulderRight"], 0]) < -0.15


@pytest.mark.parametrize("seed", SEEDS)
def test_speeds_are_human_and_nothing_jumps(seed: int) -> None:
    rate = 60.0
    joints = play(SCRIPT, seed=seed, rate_hz=rate, noise_m=0.0).joints["person_1"]
    speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1) * rate
    hands = [J[f"{part}{side}"] for part in ("Wrist", "Hand", "HandTip", "Thumb") for side in ("Left", "Right")]
    assert speed[:, hands].max() < 12.0
    assert np.delete(speed, hands, axis=1).max() < 6.0
    assert speed[:, J["SpineBase"]].max() < 2.0
    # From frame to frame the speed itself changes by little: 2 m/s in 1/60 s would be a jolt of 12 g.
    assert np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1).max() * rate < 2.0


# The actions


@pytest.mark.parametrize("seed", SEEDS)
def test_sit_down_lowers_the_pelvis_and_stand_up_raises_it(seed: int) -> None:
    recording, stand, joints = perform("stand_up", seed)
    sit = recording.segments[0]
    pelvis = heights(recording.joints["person_1"], "SpineBase")[:, 0]
    leg = leg_length(joints)

    def height_at(time: float) -> float:
        return float(pelvis[np.argmin(np.abs(recording.stamps - time))])

    assert height_at(sit.start) - height_at(sit.end) > 0.25 * leg
    assert height_at(stand.end) == pytest.approx(height_at(sit.start), abs=0.03 * leg)
    sitting = (recording.stamps > sit.end) & (recording.stamps < stand.start)
    assert np.ptp(pelvis[sitting]) < 0.02 * leg


@pytest.mark.parametrize("seed", SEEDS)
def test_walk_goes_somewhere_on_feet_that_stand(seed: int) -> None:
    recording, segment, joints = perform("walk", seed, rate_hz=60.0)
    floor = [0, 2]
    pelvis = joints[:, J["SpineBase"]][:, floor]
    assert np.linalg.norm(pelvis - pelvis[0], axis=-1).max() > 1.0
    ankles = joints[:, [J["AnkleLeft"], J["AnkleRight"]]][:, :, floor]
    slower = (np.linalg.norm(np.diff(ankles, axis=0), axis=-1) * 60.0).min(axis=1)
    assert np.percentile(slower, 95) < 0.1  # m/s: one of the feet stands
    assert np.linalg.norm(ankles - ankles[0], axis=-1).max(axis=0).min() > 0.9  # and both came along
    before = during(recording, segment.start - 0.08, segment.start)
    assert np.ptp(before[:, J["AnkleLeft"]], axis=0).max() < 0.01
    assert np.ptp(before[:, J["AnkleRight"]], axis=0).max() < 0.01
    lifted = during(recording, segment.start, segment.start + 0.5)
    assert np.ptp(lifted[:, [J["AnkleLeft"], J["AnkleRight"]], 1], axis=0).max() > 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_carry_walks_with_both_hands_in_front(seed: int) -> None:
    _, _, joints = perform("carry", seed)
    arm, (_, forward) = arm_length(joints), frame_of_body(joints)
    pelvis = joints[:, J["SpineBase"]]
    assert np.linalg.norm(pelvis - pelvis[0], axis=-1).max() > 0.8
    for side in ("Left", "Right"):
        ahead = ((joints[:, J[f"Wrist{side}"]] - pelvis) * forward).sum(axis=-1)
        assert np.percentile(ahead, 5) > 0.15 * arm
        below_shoulder = heights(joints, f"Shoulder{side}") - heights(joints, f"Wrist{side}")
        assert np.all((below_shoulder > 0.1 * arm) & (below_shoulder < 0.95 * arm))
    assert np.ptp(distance(joints, "WristLeft", "WristRight")) < 0.2 * arm  # the thing keeps its size


@pytest.mark.parametrize("seed", SEEDS)
def test_pick_up_brings_a_hand_below_the_knee_and_back_up(seed: int) -> None:
    _, _, joints = perform("pick_up", seed)
    lowest_wrist = heights(joints, "WristLeft", "WristRight").min(axis=1)
    lowest_knee = heights(joints, "KneeLeft", "KneeRight").min(axis=1)
    assert (lowest_wrist - lowest_knee).min() < 0.0
    head = heights(joints, "Head")[:, 0]
    assert head.min() < 0.75 * head[0]
    assert head[-1] == pytest.approx(head[0], rel=0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_wave_holds_a_hand_above_its_shoulder_and_swings_it(seed: int) -> None:
    _, _, joints = perform("wave", seed)
    wrists, shoulders = heights(joints, "WristLeft", "WristRight"), heights(joints, "ShoulderLeft", "ShoulderRight")
    hand = int(np.argmax((wrists - shoulders).mean(axis=0)))
    assert (wrists[:, hand] > shoulders[:, hand]).mean() > 0.3
    left, _ = frame_of_body(joints)
    aside = ((joints[:, [J["WristLeft"], J["WristRight"]][hand]] - joints[:, J["SpineShoulder"]]) * left).sum(axis=-1)
    swing = aside - aside.mean()
    assert np.count_nonzero(np.diff(np.sign(swing))) >= 3
    assert np.ptp(aside) > 0.15 * arm_length(joints)


@pytest.mark.parametrize("seed", SEEDS)
def test_clap_brings_the_hands_together_again_and_again(seed: int) -> None:
    _, _, joints = perform("clap", seed)
    apart = distance(joints, "WristLeft", "WristRight")
    together = apart < min(0.2, 0.5 * apart.max())
    assert np.count_nonzero(np.diff(together.astype(int)) == 1) >= 3


def reach(joints: np.ndarray) -> np.ndarray:
    """How far forward of its shoulder the hand is that moves most, (T,) arm's lengths."""
    _, forward = frame_of_body(joints)
    reaches = [
        ((joints[:, J[f"Wrist{side}"]] - joints[:, J[f"Shoulder{side}"]]) * forward).sum(axis=-1)
        for side in ("Left", "Right")
    ]
    return max(reaches, key=np.ptp) / arm_length(joints)


@pytest.mark.parametrize("seed", SEEDS)
def test_push_stretches_the_arm_forward_and_pull_draws_it_back(seed: int) -> None:
    pushed, pulled = reach(perform("push", seed)[2]), reach(perform("pull", seed)[2])
    assert pushed[0] < 0.5
    assert pushed[-1] > 0.75
    assert pulled[0] > 0.75
    assert pulled[-1] < 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_throw_goes_from_over_the_shoulder_forward_and_fast(seed: int) -> None:
    recording, segment, joints = perform("throw", seed, rate_hz=60.0)
    speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1) * 60.0
    side = "Left" if speed[:, J["WristLeft"]].max() > speed[:, J["WristRight"]].max() else "Right"
    above = (heights(joints, f"Wrist{side}") - heights(joints, f"Shoulder{side}"))[:, 0]
    assert above[0] > 0.0
    assert above[-1] < above.max() - 0.2 * arm_length(joints)
    assert speed[:, J[f"Wrist{side}"]].max() > 1.5
    _, forward = frame_of_body(joints)
    ahead = ((joints[:, J[f"Wrist{side}"]] - joints[:, J[f"Shoulder{side}"]]) * forward).sum(axis=-1)
    assert ahead.max() > ahead[: len(ahead) // 3].mean() + 0.25 * arm_length(joints)
    assert segment.end < recording.stamps[-1]


def test_durations_are_those_of_people() -> None:
    """At tempo 1, the median of each action within a quarter of the range of UTKinect's training people's labels."""
    seen = {  # shortest and longest of 10 labelled segments each, s
        **{"walk": (2.9, 6.0), "sit_down": (3.3, 4.9), "stand_up": (1.6, 4.4), "pick_up": (3.9, 6.9)},
        **{"carry": (3.8, 13.5), "throw": (1.3, 2.7), "push": (1.0, 2.2), "pull": (1.3, 3.0)},
        **{"wave": (5.1, 13.5), "clap": (2.0, 7.1)},
    }
    lasted: dict[str, list[float]] = {action: [] for action in ACTIONS}
    for seed in range(25):
        for segment in play(SCRIPT, seed=seed, rate_hz=5, tempo=(1.0, 1.0)).segments:
            lasted[segment.action].append(segment.end - segment.start)
    for action, (shortest, longest) in seen.items():
        slack = 0.25 * (longest - shortest)
        assert shortest - slack < np.median(lasted[action]) < longest + slack, action


# The script and its truth


@pytest.mark.parametrize("seed", SEEDS)
def test_segments_are_the_script_in_order(seed: int) -> None:
    script = random_script(seed, 12)
    recording = play(script, seed=seed, idle_s=(1.0, 2.0))
    assert [segment.action for segment in recording.segments] == script
    ends = [0.0, *(segment.end for segment in recording.segments)]
    starts = [*(segment.start for segment in recording.segments), recording.stamps[-1]]
    assert all(start - end >= 1.0 - 0.2 for end, start in zip(ends, starts, strict=True))


@pytest.mark.parametrize("seed", range(30))
def test_random_script_can_be_played_and_uses_all_actions_alike(seed: int) -> None:
    script = random_script(seed, 40)
    assert len(script) == 40
    assert set(script) == set(ACTIONS)
    counts = [script.count(action) for action in ACTIONS]
    assert max(counts) - min(counts) <= 2
    for first, second in zip(script, [*script[1:], ""], strict=True):
        assert (first == "sit_down") == (second == "stand_up")
    assert script == random_script(seed, 40)
    assert script != random_script(seed + 1, 40)


def test_random_script_of_some_actions() -> None:
    assert set(random_script(0, 9, ["wave", "clap"])) == {"wave", "clap"}
    assert random_script(0, 4, ["sit_down", "stand_up"]) == ["sit_down", "stand_up"] * 2
    assert random_script(0, 1, ["sit_down", "stand_up", "push"]) == ["push"]
    assert random_script(0, 0) == []
    with pytest.raises(ValueError, match="pairs"):
        random_script(0, 3, ["sit_down", "stand_up"])
    with pytest.raises(ValueError, match="pairs"):
        random_script(0, 3, ["stand_up"])
    with pytest.raises(ValueError, match="juggle"):
        random_script(0, 3, ["juggle"])


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        (["juggle"], "juggle"),
        (["stand_up"], "needs a sit_down"),
        (["sit_down", "walk"], "while sitting"),
        (["sit_down", "wave", "sit_down"], "while sitting"),
        ({"ann": ["wave"], "bob": ["stand_up"]}, "'bob', action 1"),
    ],
)
def test_scripts_that_cannot_be_played(script, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        play(script)


@pytest.mark.parametrize(
    "options",
    [
        {"layout": "lego"},
        {"rate_hz": 0},
        {"jitter": 1.0},
        {"drop": 1.5},
        {"noise_m": -1.0},
        {"idle_s": (3.0, 1.0)},
        {"tempo": (0.0, 1.0)},
        {"height_m": (2.0, 1.0)},
    ],
)
def test_options_out_of_range(options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        play(["wave"], **options)


def test_nobody_acts_in_an_empty_script() -> None:
    recording = play([], idle_s=(2.0, 3.0))
    assert recording.segments == ()
    assert recording.stamps[-1] >= 2.0
    assert np.isfinite(recording.joints["person_1"]).all()


def test_the_seed_decides_everything() -> None:
    first, again, other = (play(SCRIPT, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.joints["person_1"], again.joints["person_1"])
    np.testing.assert_array_equal(first.stamps, again.stamps)
    assert first.segments == again.segments
    assert first.segments != other.segments
    length = min(len(first.stamps), len(other.stamps))
    assert not np.allclose(first.joints["person_1"][:length], other.joints["person_1"][:length], atol=0.05)


def test_people_act_together_each_by_their_own_script() -> None:
    recording = play({"ann": ["wave", "walk"], "bob": ["sit_down"], "eve": []}, seed=2, noise_m=0.0)
    assert set(recording.joints) == {"ann", "bob", "eve"}
    assert [s.action for s in recording.segments if s.person_id == "ann"] == ["wave", "walk"]
    assert [s.action for s in recording.segments if s.person_id == "bob"] == ["sit_down"]
    assert [s.start for s in recording.segments] == sorted(s.start for s in recording.segments)
    assert all(0 < s.start < s.end < recording.stamps[-1] for s in recording.segments)
    pelvis = {name: joints[:, J["SpineBase"]] for name, joints in recording.joints.items()}
    assert np.linalg.norm(pelvis["ann"] - pelvis["bob"], axis=-1).min() > 0.3
    assert np.linalg.norm(pelvis["bob"] - pelvis["eve"], axis=-1).min() > 0.3


# What the camera makes of it


def test_rate_and_jitter() -> None:
    even = play(["wave"], seed=1, rate_hz=20.0)
    np.testing.assert_allclose(np.diff(even.stamps), 0.05)
    assert even.stamps[0] == 0.0
    uneven = np.diff(play(["wave"], seed=1, rate_hz=20.0, jitter=0.5).stamps)
    assert uneven.min() >= 0.025 - 1e-9
    assert uneven.max() <= 0.075 + 1e-9
    assert uneven.std() == pytest.approx(0.025 * np.sqrt(2 / 12), rel=0.2)  # a difference of two uniform ones


def test_the_performance_is_the_same_at_every_rate() -> None:
    slow, fast = (play(SCRIPT, seed=4, rate_hz=rate, noise_m=0.0) for rate in (10.0, 30.0))
    assert slow.segments == fast.segments
    length = min(len(slow.stamps), len(fast.stamps[::3]))
    np.testing.assert_allclose(
        slow.joints["person_1"][:length], fast.joints["person_1"][::3][:length], rtol=0, atol=1e-9
    )


def test_views_are_rigid_motions() -> None:
    other = View(azimuth_deg=37.0, height_m=2.0, tilt_deg=25.0, roll_deg=4.0, distance_m=3.5)
    first, second = (play(SCRIPT, seed=7, noise_m=0.0, view=view).joints["person_1"] for view in (UPRIGHT, other))
    # Distances between any two joints at any two times, and the volume that a reflection would change the sign of.
    rng = np.random.default_rng(0)
    a, b, c, d = (first.reshape(-1, 3)[rng.integers(0, first[..., 0].size, 500)] for _ in range(4))
    picked = np.random.default_rng(0)
    e, f, g, h = (second.reshape(-1, 3)[picked.integers(0, second[..., 0].size, 500)] for _ in range(4))
    np.testing.assert_allclose(np.linalg.norm(a - b, axis=-1), np.linalg.norm(e - f, axis=-1), rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        np.linalg.det(np.stack([b - a, c - a, d - a], axis=1)),
        np.linalg.det(np.stack([f - e, g - e, h - e], axis=1)),
        rtol=0,
        atol=1e-9,
    )


def test_view_says_where_the_camera_is() -> None:
    def see(**options) -> np.ndarray:
        return play(["clap"], seed=3, noise_m=0.0, view=View(**options)).joints["person_1"]

    front = see(height_m=1.2, tilt_deg=0.0, distance_m=3.0)
    assert np.median(front[:, J["SpineBase"], 2]) == pytest.approx(3.0, abs=1.0)
    near = see(height_m=1.2, tilt_deg=0.0, distance_m=2.0)
    np.testing.assert_allclose(front - near, np.broadcast_to([0.0, 0.0, 1.0], front.shape), atol=1e-9)
    high = see(height_m=1.7, tilt_deg=0.0, distance_m=3.0)
    np.testing.assert_allclose(front - high, np.broadcast_to([0.0, 0.5, 0.0], front.shape), atol=1e-9)
    from_left = see(azimuth_deg=90.0, tilt_deg=0.0)
    assert np.median(from_left[:, J["ShoulderLeft"], 2] - from_left[:, J["ShoulderRight"], 2]) < -0.15
    down = see(height_m=1.2, tilt_deg=20.0)
    up_in_camera = np.median(down[:, J["SpineShoulder"]] - down[:, J["SpineBase"]], axis=0)
    assert up_in_camera[2] < 0.0  # a head is nearer to a camera that looks down than the rotated floor says


def test_noise_is_of_the_size_asked_for_and_larger_at_the_hands() -> None:
    clean, noisy = (play(SCRIPT * 2, seed=9, noise_m=noise).joints["person_1"] for noise in (0.0, 0.02))
    error = (noisy - clean).std(axis=(0, 2))
    assert error[J["SpineBase"]] == pytest.approx(0.02, rel=0.3)
    assert error[J["HandLeft"]] > 1.5 * error[J["SpineBase"]]
    assert np.abs(noisy - clean).max() < 0.02 * 2.8 * 6


def test_dropped_joints_are_nan_for_a_while() -> None:
    joints = play(SCRIPT, seed=9, drop=0.2).joints["person_1"]
    unseen = np.isnan(joints)
    assert np.all(unseen.all(axis=-1) == unseen.any(axis=-1))
    unseen = unseen[..., 0]
    assert unseen.mean() == pytest.approx(0.2, abs=0.02)
    goes_on = unseen[1:][unseen[:-1]].mean()
    assert goes_on > 0.7  # independent frames would give 0.2
    assert not np.isnan(play(SCRIPT, seed=9).joints["person_1"]).any()


@pytest.mark.parametrize("layout", ["ntu_25", "kinect_v1_20", "coco_17"])
def test_layouts_show_the_same_performance(layout: str) -> None:
    """Brought to NTU-25 by the layout's rule, joints that the layout has are where the actor's own NTU-25 has them."""
    own = play(SCRIPT, seed=11, noise_m=0.0).joints["person_1"]
    recording = play(SCRIPT, seed=11, noise_m=0.0, layout=layout)
    joints = recording.joints["person_1"]
    assert recording.layout == layout
    assert joints.shape[1] == len(load_layout(layout).joint_names)
    converted, _ = load_layout(layout).to_ntu25(joints, None)
    same = [
        J[f"{joint}{side}"] for joint in ("Shoulder", "Elbow", "Wrist", "Knee", "Ankle") for side in ("Left", "Right")
    ]
    np.testing.assert_allclose(converted[:, same], own[:, same], atol=1e-9)
    assert np.linalg.norm(converted - own, axis=-1).max() < 0.25


def test_coco_face_looks_where_the_feet_point() -> None:
    joints = play(["clap"], seed=1, noise_m=0.0, layout="coco_17", view=UPRIGHT).joints["person_1"]
    names = [name.lower() for name in load_layout("coco_17").joint_names]
    nose, left_ear, right_ear = (names.index(name) for name in ("nose", "left_ear", "right_ear"))
    ears = (joints[:, left_ear] + joints[:, right_ear]) / 2
    assert np.median(ears[:, 2] - joints[:, nose, 2]) > 0.05  # the nose is nearer to the camera
    assert np.median(joints[:, left_ear, 0] - joints[:, right_ear, 0]) < -0.05
