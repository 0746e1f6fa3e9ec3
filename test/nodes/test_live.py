"""Real recordings through the live nodes over DDS give the events that the library gives for the same bag."""

import os
import tarfile

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("usdrl_ros.msg", reason="the package is not built: make build")

from ros_fixtures import without_run

from training.data import utkinect
from training.data.sets import read_all
from usdrl_ros.bags.reader import read_events
from usdrl_ros.bags.writer import BagWriter, write_recording
from usdrl_ros.evaluation.run import run_bag
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.nodes.live import play_live

pytestmark = pytest.mark.slow

# All ten test takes take a while; the whole set is asked for by hand: USDRL_ALL_TAKES=1.
TAKES = [f"{person}_{take}" for person in utkinect.TEST_PEOPLE for take in ("e01", "e02")]
RATES = (3.0, 1.5, 0.75)  # a machine that is too slow for one is given the next


@pytest.fixture(scope="module")
def recordings(shared_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("utkinect")
    with tarfile.open(shared_data / "utkinect_action3d.tar.xz") as archive:
        archive.extractall(root, filter="data")
    recordings = read_all(utkinect.NAME, root / "utkinect_action3d")
    return {r.name: r for r in recordings if r.person in utkinect.TEST_PEOPLE}


@pytest.mark.parametrize("take", TAKES if os.environ.get("USDRL_ALL_TAKES") else TAKES[-1:])
def test_live_nodes_give_the_librarys_events(recordings, tmp_path, take):
    bag = tmp_path / take
    write_recording(recordings[take], bag)
    with load_engine(default_model(), precision="fp32") as engine:
        library = run_bag(bag, engine)
    for rate in RATES:
        published = tmp_path / f"published_{rate}"
        with BagWriter(published) as writer:
            live = play_live(bag, default_model(), writer, rate=rate, parameters=["precision:=fp32"])
        if "step_left_out" not in live.problems:
            break

    assert live.problems == {}
    assert live.frames == len(recordings[take].stamps)
    assert len({event.event_id for event in library.events}) >= 5  # else the comparison would say little
    assert [_comparable(event) for event in live.events] == [_comparable(event) for event in library.events]
    assert [e.confidence for e in live.events] == pytest.approx([e.confidence for e in library.events], abs=1e-5)
    assert read_events(published) == live.events
    assert len(live.truth) == len(recordings[take].segments)


def _comparable(event):
    event_id, times = without_run(event.event_id), (event.stamp_ns, event.start_ns, event.end_ns)
    return event.phase, event_id, event.person_id, event.partner_id, event.action, times
