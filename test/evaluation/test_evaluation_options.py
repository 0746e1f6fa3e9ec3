"""Where options come from: command line, parameter file, types in the bag; and where the bags run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from evaluation_bags import make_recording, use_hand_engine

from usdrl_ros.bags.reader import SKELETONS, BagError, Topic, read_messages
from usdrl_ros.bags.skeletons import find_skeletons
from usdrl_ros.bags.writer import BagWriter, write_recording
from usdrl_ros.evaluation import batch
from usdrl_ros.evaluation import command as tool
from usdrl_ros.evaluation.arguments import make_parser, read_options
from usdrl_ros.evaluation.options import EvaluationOptions, OptionError
from usdrl_ros.inference.factory import default_model
from usdrl_ros.settings import Settings


def options(*arguments: object) -> EvaluationOptions:
    return read_options(make_parser().parse_args([*map(str, arguments)]))


@pytest.fixture
def params(tmp_path: Path):
    """Writes a parameter file; gives its path."""

    def write(text: str) -> Path:
        (tmp_path / "robot.yaml").write_text(text)
        return tmp_path / "robot.yaml"

    return write


# Parameter files of the robot


def test_parameters_are_those_of_the_perception_node_alone(params) -> None:
    file = params(
        "perception:\n  ros__parameters: {rate: 10.0, association: on, input_topic: people, start_threshold: 0.4}\n"
        "camera:\n  ros__parameters: {rate: 2.0, model: yolov8m-pose.pt}\n"
    )
    found = options("bag", "--params", file)
    assert found.settings == Settings(rate=10.0, start_threshold=0.4)
    assert (found.association, found.topic, found.model) == ("on", "/people", default_model())


@pytest.mark.parametrize(
    "text",
    [
        "robot1:\n  perception:\n    ros__parameters:\n      rate: 7.0\n",
        "/robot1/perception:\n  ros__parameters:\n    rate: 7.0\n",
        "/**:\n  ros__parameters:\n    rate: 7.0\n",
        "perception:\n  ros__parameters:\n    rate: 7\n",
    ],
)
def test_names_of_nodes_match_as_in_ros(params, text: str) -> None:
    assert options("bag", "--params", params(text)).settings.rate == 7.0


def test_misspelt_parameters_are_reported_as_the_node_does(params, capsys: pytest.CaptureFixture) -> None:
    file = params("perception:\n  ros__parameters:\n    start_treshold: 0.3\n")
    assert options("bag", "--params", file).settings == Settings()
    printed = capsys.readouterr().err
    assert printed == (
        f"--params {file}: parameter start_treshold is not known, it is ignored; did you mean start_threshold?\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("perception:\n  ros__parameters:\n    rate: 1000.0\n", "parameter rate is 1000.0, must be a number from"),
        ("perception:\n  ros__parameters:\n    engine: cuda\n", "parameter engine is 'cuda', must be one of auto"),
        ("perception: 3\n", "is no file of ROS parameters"),
        ("a: &a [x]\nb: *a\n", "has an alias, which ROS does not take"),
    ],
)
def test_what_the_node_refuses_is_refused(params, text: str, expected: str) -> None:
    with pytest.raises(OptionError, match=expected) as caught:
        options("bag", "--params", params(text))
    assert str(caught.value).startswith("--params ")
    assert "\n" not in str(caught.value)


def test_words_of_the_command_line_come_first(params) -> None:
    file = params("perception:\n  ros__parameters: {rate: 5.0, association: off, confirm_s: 0.1}\n")
    found = options("bag", "--params", file, "--association", "auto", "--set", "rate=8")
    assert (found.association, found.settings.rate, found.settings.confirm_s) == ("auto", 8.0, 0.1)


def test_pipes_and_odd_files_do_not_hang(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    os.mkfifo(tmp_path / "pipe")
    deep = tmp_path / "deep.yaml"
    deep.write_text("[" * 5000)
    for arguments in (
        ["bag", "--params", tmp_path / "pipe"],
        ["bag", "--rename", tmp_path / "pipe"],
        ["bag", "--rename", deep],
        ["bag", "--labels", deep, "--classes", tmp_path / "pipe"],
    ):
        assert tool.main([*map(str, arguments)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    for given, expected in (
        ({"labels": tmp_path, "truth": "/t"}, "one place only"),
        ({"dask": "tcp://x:1", "jobs": 2}, "the cluster runs the bags"),
        ({"json": tmp_path / "no" / "x"}, "is not there; make it first"),
        ({"strips": -1}, "strips is -1, must be a whole number from 0"),
    ):
        with pytest.raises(OptionError, match=expected):
            EvaluationOptions(**given)


# Sources by the types in the bag


OURS, ZED, YOLO, MARKERS = (
    "usdrl_ros/msg/SkeletonArray",
    "zed_msgs/msg/ObjectsStamped",
    "yolo_msgs/msg/DetectionArray",
    "visualization_msgs/msg/MarkerArray",
)


ZED_TOPIC = "/zed/zed_node/body_trk/skeletons"


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        ({"/skeletons": OURS, "/usdrl/markers": MARKERS, "/zed/x": ZED}, ("skeletons", "/skeletons")),
        ({"/robot/people": OURS}, ("skeletons", "/robot/people")),
        (
            {"/zed/zed_node/body_trk/skeletons": ZED, "/usdrl/markers": MARKERS},
            ("zed", "/zed/zed_node/body_trk/skeletons"),
        ),
        ({"/front/body": "zed_interfaces/msg/ObjectsStamped"}, ("zed", "/front/body")),
        ({"/yolo/detections_3d": YOLO, "/yolo/tracking": YOLO}, ("yolo_3d", "/yolo/detections_3d")),
        ({"/my/detections": YOLO}, ("yolo_3d", "/my/detections")),
        ({"/body_tracking_data": MARKERS}, ("azure_kinect", "/body_tracking_data")),
    ],
)
def test_sources_follow_from_types(topics: dict[str, str], expected: tuple[str, str]) -> None:
    source, topic = find_skeletons("bag", {name: Topic(kind, 1) for name, kind in topics.items()})
    assert (source.name, topic) == expected


def test_bags_without_one_fitting_source_say_what_to_give() -> None:
    def refusal(topics: dict[str, str], **given: str) -> str:
        with pytest.raises(BagError) as caught:
            find_skeletons("bag", {name: Topic(kind, 1) for name, kind in topics.items()}, **given)
        return str(caught.value)

    both = {"/front/body": ZED, "/hands": "hiros_skeleton_msgs/msg/SkeletonGroup"}
    line = refusal(both)
    assert line.startswith("bag: its skeletons can be read in several ways: give --source ")
    assert "--source zed --topic /front/body" in line
    assert "--source hi_ros --topic /hands" in line
    assert find_skeletons("bag", {n: Topic(k, 1) for n, k in both.items()}, topic="/hands")[0].name == "hi_ros"
    assert refusal({"/usdrl/markers": MARKERS}) == "bag: no topic /skeletons; topics of the bag: /usdrl/markers"
    assert "no topic /skeletons" in refusal({"/a": ZED, "/b": ZED}, source="skeletons")
    assert "of type zed_msgs/msg/ObjectsStamped: /a, /b, choose by --topic" in refusal({"/a": ZED, "/b": ZED})
    assert refusal({"/a": ZED}, source="skeletons", topic="/a").endswith("(source 'skeletons'); give --source zed")


# Many bags


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two short bags, and one that cannot be read."""
    root = tmp_path_factory.mktemp("bags")
    for name in ("one", "two"):
        write_recording(make_recording({"anna": [(1.0, 2.5)]}, 4.0), root / name)
    return [str(root / "one"), str(root / "none"), str(root / "two")]


def check(results: list[tuple[str, object]], bags: list[str]) -> None:
    """All bags, in order; the events are those of a run in this process."""
    assert [path for path, _ in results] == bags
    assert results[1][1] == f"{bags[1]}: no such bag"
    plain = dict(batch.run_bags(EvaluationOptions(bags=tuple(bags), jobs=1)))
    for path, run in (results[0], results[2]):
        assert run.name == path
        assert run.events == plain[path].events
        assert run.truth_intervals == plain[path].truth_intervals
        assert run.bag_s == plain[path].bag_s


@pytest.mark.slow
def test_bags_run_in_processes_give_the_same(bags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    check(list(batch.run_bags(EvaluationOptions(bags=tuple(bags), jobs=2))), bags)
    monkeypatch.chdir(Path(bags[0]).parent)
    names = [Path(bag).name for bag in bags]
    check(list(batch.run_bags(EvaluationOptions(bags=tuple(names), jobs=2))), names)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    distributed = pytest.importorskip("distributed", reason="needs requirements/test.txt")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as local:
        local.wait_for_workers(2)
        yield local.scheduler_address


@pytest.mark.slow
def test_bags_run_on_a_dask_cluster_give_the_same(
    bags: list[str], cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(bags[0]).parent)
    names = [Path(bag).name for bag in bags]
    check(list(batch.run_bags(EvaluationOptions(bags=tuple(names), dask=cluster))), names)
    assert tool.main([names[0], "--dask", cluster, "--json", str(tmp_path / "out.json")]) == 0
    assert list(json.loads((tmp_path / "out.json").read_text())["events"]) == [names[0]]


def test_dask_without_a_cluster_ends_with_one_line(bags: list[str], capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("distributed", reason="needs requirements/test.txt")
    assert tool.main([bags[0], "--dask", "nonsense://x"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("no Dask scheduler at nonsense://x (")
    assert printed.count("\n") == 1


# Files that are written


@pytest.mark.slow
def test_full_disk_is_one_line_and_the_old_files_stay(
    bags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    use_hand_engine(monkeypatch)
    out, report = tmp_path / "out.json", tmp_path / "report"
    report.mkdir()
    for old in (out, report / "report.html"):
        old.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    for option, place in (("--json", out), ("--report", report), ("--timelines", tmp_path / "timelines")):
        assert tool.main([bags[0], option, str(place)]) == 1
        assert capsys.readouterr().err == (
            f"{place}: cannot be written: No space left on device; make room and try again\n"
        )
    assert out.read_text() == "old"
    assert (report / "report.html").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "report"]
    assert [path.name for path in report.iterdir()] == ["report.html"]


def test_bags_with_dots_have_labels_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_hand_engine(monkeypatch)
    (tmp_path / "labels").mkdir()
    for name, action in (("run.1", "wave"), ("run.2", "jump")):
        with BagWriter(tmp_path / name) as writer:
            source = tmp_path / f"{name}_source"
            write_recording(make_recording({"anna": [(1.0, 2.5)]}, 4.0), source)
            for topic, stamp_ns, message in read_messages(source, [SKELETONS]):
                writer.write(topic, stamp_ns, message)
        (tmp_path / "labels" / f"{name}.csv").write_text(f"1,2.5,{action},anna\n")
    (tmp_path / "labels" / "run.csv").write_text("1,2.5,push,anna\n")
    names = [str(tmp_path / name) for name in ("run.1", "run.2")]
    arguments = [*names, "--labels", str(tmp_path / "labels"), "--json", str(tmp_path / "out.json")]
    assert tool.main(arguments) == 0
    truth = json.loads((tmp_path / "out.json").read_text())["truth"]
    assert [[entry["action"] for entry in truth[name]] for name in names] == [["wave"], ["jump"]]
