"""Bags with the messages of pose estimators, read without ROS by the definitions that they carry."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from source_messages import LAYOUTS, header, messages, seen_by, zed_object

pytest.importorskip("rosbags", reason="rosbags is not installed")

from rosbags.interfaces import Nodetype
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from training.data import own_bags, zed_body34_samples
from usdrl_ros.bags.reader import read_messages, read_topics
from usdrl_ros.bags.skeletons import find_skeletons
from usdrl_ros.bags.writer import write_recording
from usdrl_ros.demo.actor import play
from usdrl_ros.evaluation.options import EvaluationOptions
from usdrl_ros.evaluation.run import run_bag
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.recording import Recording
from usdrl_ros.resources import data_directory
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.layouts import load_layout
from usdrl_ros.sources.reader import SourceReader, load_source

BEGIN_NS = 1_700_000_000 * 10**9


@pytest.fixture(scope="module")
def store() -> Typestore:
    """Common messages, ours, and those of `test/interfaces`."""
    found = get_typestore(Stores.ROS2_JAZZY)
    types: dict[str, Any] = {}
    for path in (
        *(Path(__file__).parents[1] / "interfaces").glob("*/msg/*.msg"),
        *data_directory("interfaces").glob("*.msg"),
    ):
        package = path.parent.parent.name if path.parent.parent.parent.name == "interfaces" else "usdrl_ros"
        types |= get_types_from_msg(path.read_text(encoding="utf-8"), f"{package}/msg/{path.stem}")
    found.register(types)
    return found


def default(store: Typestore, description: Any) -> Any:
    """An empty value of a field."""
    kind, detail = description
    if kind == Nodetype.NAME:
        return made(store, detail)
    if kind == Nodetype.BASE:
        return {"string": "", "bool": False}.get(detail[0], 0)
    element, count = detail
    if element[0] == Nodetype.BASE and element[1][0] != "string":
        return np.zeros(count or 0, {"octet": "uint8", "byte": "uint8"}.get(element[1][0], element[1][0]))
    return [default(store, element) for _ in range(count or 0)]


def made(store: Typestore, kind: str, **fields: Any) -> Any:
    """A message of rosbags with these fields, the others empty."""
    if "positions" in fields:
        fields |= {name: np.asarray(fields[name], np.float32) for name in ("positions", "confidences")}
    return store.types[kind](
        **{name: fields[name] if name in fields else default(store, of) for name, of in store.fielddefs[kind][1]}
    )


def write(path: Path, store: Typestore, topic: str, kind: str, sent: list[tuple[int, Any]]) -> Path:
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(topic, kind, typestore=store)
        for stamp_ns, message in sent:
            writer.write(connection, stamp_ns, store.serialize_cdr(message, kind))
    return path


@pytest.mark.parametrize("source", LAYOUTS)
def test_every_sources_bag_is_read_as_it_was_written(source: str, store: Typestore, tmp_path: Path) -> None:
    scene = play({"1": ["wave"], "2": ["clap"]}, seed=1, rate_hz=5.0, idle_s=(0.1, 0.2))
    seen, sent = seen_by(source, scene), []
    for t, seconds in enumerate(scene.stamps):
        stamp_ns = BEGIN_NS + round(seconds * 1e9)
        people = {name: joints[t].astype(np.float32) for name, joints in seen.items()}
        sent += [
            (stamp_ns, message)
            for message in messages(
                source, lambda kind, /, **fields: made(store, kind, **fields), stamp_ns, "cam", people
            )
        ]
    kind = load_source(source).message_types[0]
    reader = SourceReader(load_source(source))
    found: dict[str, list[np.ndarray]] = {}
    bag_path = write(tmp_path / "bag", store, "/people", kind, sent)
    if source != "azure_kinect":  # markers may be of anything: its topic must have the source's name
        assert find_skeletons(bag_path, read_topics(bag_path)) == (load_source(source), "/people")
    for _, record_ns, message in read_messages(bag_path):
        frame = reader.read(message, record_ns)
        assert frame.problems == []
        assert frame.stamp_ns == record_ns
        for person in frame.people:
            found.setdefault(person.person_id, []).append(person.joints)
            layout = load_layout(person.layout)
    # Where joints are named, those that NTU-25 has no use for are not read.
    written = load_layout(LAYOUTS[source])
    read = [written.index[name] for name in layout.joint_names]
    assert len(read) >= 23 or len(read) == len(written.joint_names)
    for mine, joints in zip(found.values(), seen.values(), strict=True):
        np.testing.assert_array_equal(mine, joints[:, read].astype(np.float32))

    (tmp_path / "dataset.yaml").write_text(f"source: {source}\npeople: {{bag: anna}}\n")
    (bag,) = own_bags.find(tmp_path)
    taken = own_bags.read(bag)  # the same as one's own recording to train on
    assert (taken.name, taken.person, len(taken.stamps)) == ("bag", "anna", len(scene.stamps))
    turn = np.eye(3) if source == "skeletons" else load_source(source).to_kinect  # our own bags are in Kinect's axes
    for mine, joints in zip(taken.joints.values(), seen.values(), strict=True):
        np.testing.assert_allclose(mine, joints[:, read].astype(np.float32) @ turn.T, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("same_run")
def test_zed_samples_give_the_events_of_our_own_message(shared_data: Path, store: Typestore, tmp_path: Path) -> None:
    """Recordings of the ZED SDK as the ZED wrapper would publish them, in its axes, against a SkeletonArray of them."""
    with tarfile.open(shared_data / "zed_body34_samples.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    recordings = [zed_body34_samples.read(path) for path in zed_body34_samples.find(tmp_path / "zed_body34_samples")]
    easily = Settings(rate=1.0, start_threshold=0.05, end_threshold=0.02)  # whatever the shipped model knows
    turn = load_source("zed").to_kinect

    def make(kind: str, /, **fields: Any) -> Any:
        return made(store, kind, **fields)

    kind, events = "zed_msgs/msg/ObjectsStamped", 0
    with load_engine(default_model()) as engine:
        for recording in sorted(recordings, key=lambda recording: recording.stamps[-1])[-2:]:
            joints = {name: (places @ turn).astype(np.float32) for name, places in recording.joints.items()}
            numbers = {name: str(number) for number, name in enumerate(joints, 1)}
            sent = []
            for t, seconds in enumerate(recording.stamps):
                stamp_ns = BEGIN_NS + round(seconds * 1e9)
                objects = [
                    zed_object(make, numbers[name], places[t])
                    for name, places in joints.items()
                    if not np.isnan(places[t]).all()
                ]
                sent.append((stamp_ns, make(kind, header=header(make, stamp_ns, "camera"), objects=objects)))
            bag = write(tmp_path / f"zed_{recording.name}", store, load_source("zed").topic, kind, sent)
            found = run_bag(bag, engine, EvaluationOptions(settings=easily))

            named = {numbers[name]: places for name, places in joints.items()}
            write_recording(Recording(recording.name, recording.layout, recording.stamps, named), tmp_path / "ours")
            ours = run_bag(tmp_path / "ours", engine, EvaluationOptions(settings=easily))
            shutil.rmtree(tmp_path / "ours")
            assert (found.problems, found.events) == (ours.problems, ours.events)
            events += len(found.events)
    assert events >= 5  # else the comparison would say little
