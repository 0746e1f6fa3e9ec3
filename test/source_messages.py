"""Messages of every 3D source, made of the same people: what the tests of sources publish and read.

`make(name, **fields)` makes a message: `plain` makes bare objects, a test with ROS gives the real classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from usdrl_ros.recording import Recording
from usdrl_ros.skeleton.layouts import Layout, load_layout
from usdrl_ros.sources.source_file import load_source

Make = Callable[..., Any]
People = Mapping[str, np.ndarray]

BODY_25 = (
    "Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist MidHip RHip RKnee RAnkle LHip LKnee LAnkle REye LEye "
    "REar LEar LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel"
).split()
LAYOUTS = {
    "skeletons": "ntu_25",
    "zed": "zed_body_34",
    "yolo_3d": "coco_17",
    "azure_kinect": "azure_kinect_32",
    "opendr_3d": "openpose_coco_18",
    "hi_ros": "openpose_body_25",
}
"""The joints that each source is tested with."""
OPENDR_JOINTS = (
    "nose neck r_sho r_elb r_wri l_sho l_elb l_wri r_hip r_knee r_ank l_hip l_knee l_ank r_eye l_eye r_ear l_ear"
).split()
BODY_FORMATS = {"openpose_coco_18": 0, "zed_body_34": 1, "zed_body_38": 2}


def plain(_name: str, /, **fields: Any) -> SimpleNamespace:
    """An object with these fields."""
    return SimpleNamespace(**fields)


def header(make: Make, stamp_ns: int, frame_id: str) -> Any:
    """A std_msgs/Header."""
    stamp = make("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def messages(source: str, make: Make, stamp_ns: int, frame_id: str, people: People) -> list[Any]:
    """The messages in which a source's publisher sends people: ids of digits -> (V, 3) in `LAYOUTS[source]`."""
    return _MAKERS[source](make, header(make, stamp_ns, frame_id), people)


def _point(make: Make, xyz: np.ndarray) -> Any:
    return make("geometry_msgs/msg/Point", **dict(zip("xyz", map(float, xyz), strict=True)))


def _skeletons(make: Make, head: Any, people: People) -> list[Any]:
    found = [
        make("usdrl_ros/msg/Skeleton", person_id=name, positions=np.float32(joints).ravel().tolist(), confidences=[])
        for name, joints in people.items()
    ]
    return [make("usdrl_ros/msg/SkeletonArray", header=head, layout=LAYOUTS["skeletons"], skeletons=found)]


def zed_object(make: Make, name: str, joints: np.ndarray, layout: str = LAYOUTS["zed"], **fields: Any) -> Any:
    """A person as the ZED wrapper sends them; the places beyond the layout's joints are zero."""
    places = np.zeros((70, 3), np.float32)
    places[: len(joints)] = joints
    keypoints = [make("zed_msgs/msg/Keypoint3D", kp=place) for place in places]
    known = {
        "label_id": int(name),
        "tracking_state": 1,
        "skeleton_available": True,
        "body_format": BODY_FORMATS[layout],
        "skeleton_3d": make("zed_msgs/msg/Skeleton3D", keypoints=keypoints),
    }
    return make("zed_msgs/msg/Object", **known | fields)


def _zed(make: Make, head: Any, people: People) -> list[Any]:
    objects = [zed_object(make, name, joints) for name, joints in people.items()]
    return [make("zed_msgs/msg/ObjectsStamped", header=head, objects=objects)]


def _yolo(make: Make, head: Any, people: People) -> list[Any]:
    detections = []
    for name, joints in people.items():
        data = [
            make("yolo_msgs/msg/KeyPoint3D", id=number, point=_point(make, xyz), score=0.9)
            for number, xyz in enumerate(joints, 1)
            if not np.isnan(xyz).any()
        ]
        found = make("yolo_msgs/msg/KeyPoint3DArray", data=data, frame_id=head.frame_id)
        detections.append(make("yolo_msgs/msg/Detection", class_name="person", id=name, keypoints3d=found))
    camera = make("std_msgs/msg/Header", stamp=head.stamp, frame_id="some_camera")
    return [make("yolo_msgs/msg/DetectionArray", header=camera, detections=detections)]


def _azure(make: Make, head: Any, people: People) -> list[Any]:
    markers = [
        make(
            "visualization_msgs/msg/Marker",
            header=head,
            action=0,
            id=int(name) * 100 + number,
            pose=make("geometry_msgs/msg/Pose", position=_point(make, xyz)),
        )
        for name, joints in people.items()
        for number, xyz in enumerate(joints)
    ]
    return [make("visualization_msgs/msg/MarkerArray", markers=markers)]


def _opendr(make: Make, head: Any, people: People) -> list[Any]:
    empty = header(make, 0, "")
    found = []
    for name, joints in people.items():
        keypoints = [
            make("opendr_interface/msg/OpenDRPose3DKeypoint", kpt_name=joint, x=float(x), y=float(y), z=float(z))
            for joint, (x, y, z) in zip(OPENDR_JOINTS, joints, strict=True)
        ]
        pose = {"header": empty, "pose_id": int(name), "keypoint_list": keypoints}
        found.append(make("opendr_interface/msg/OpenDRPose3D", **pose))
    return found


def _hi_ros(make: Make, head: Any, people: People) -> list[Any]:
    skeletons = []
    for name, joints in people.items():
        markers = []
        for number, (joint, xyz) in enumerate(zip(BODY_25, joints, strict=True)):
            pose = make("geometry_msgs/msg/Pose", position=_point(make, xyz))
            center = make("hiros_skeleton_msgs/msg/KinematicState", pose=pose)
            markers.append(make("hiros_skeleton_msgs/msg/Marker", id=number, name=joint, confidence=1.0, center=center))
        skeletons.append(make("hiros_skeleton_msgs/msg/Skeleton", id=int(name), markers=markers))
    return [make("hiros_skeleton_msgs/msg/SkeletonGroup", header=head, skeletons=skeletons)]


_MAKERS = {
    "skeletons": _skeletons,
    "zed": _zed,
    "yolo_3d": _yolo,
    "azure_kinect": _azure,
    "opendr_3d": _opendr,
    "hi_ros": _hi_ros,
}


def in_layout(joints: np.ndarray, layout: Layout) -> np.ndarray:
    """Joints (..., V, 3) of a layout whose NTU-25 skeleton is this one (..., 25, 3) where the layout determines it.

    What the layout has besides lies at the pelvis.
    """
    direct = ~layout.derived
    pelvis = joints[..., :1, :]
    return pelvis + np.linalg.pinv(layout.matrix[direct]) @ (joints - pelvis)[..., direct, :]


def seen_by(source: str, recording: Recording) -> dict[str, np.ndarray]:
    """The people of an NTU-25 recording in Kinect's axes, (T, V, 3), as a source would see them, in its own axes."""
    layout, turn = load_layout(LAYOUTS[source]), load_source(source).to_kinect
    return {name: in_layout(joints, layout) @ turn for name, joints in recording.joints.items()}
