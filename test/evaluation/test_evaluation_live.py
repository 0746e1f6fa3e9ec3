"""`evaluate --live`: the real nodes over DDS give the library's events, and latencies are measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here: run by `make test`")
pytest.importorskip("usdrl_ros.msg", reason="the messages are not built: run by `make test`", exc_type=ImportError)

from ros_fixtures import without_run

from usdrl_ros.bags.writer import write_recording
from usdrl_ros.demo.actor import play
from usdrl_ros.evaluation import command
from usdrl_ros.evaluation.options import EvaluationOptions
from usdrl_ros.nodes import evaluate as tool
from usdrl_ros.nodes.live_evaluation import run_bag_live

pytestmark = pytest.mark.slow

RATES = (2.0, 1.0, 0.5)  # a machine that is too slow for one is given the next


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("live") / "scene"
    write_recording(play(["wave", "clap"], seed=3), path)
    return path


def document(arguments: list[str], out: Path) -> dict:
    assert tool.main([*arguments, "--json", str(out)]) == 0
    return json.loads(out.read_text())


def test_live_events_are_those_of_the_library(bag: Path, tmp_path: Path) -> None:
    library = document([str(bag)], tmp_path / "library.json")
    for rate in RATES:
        live = document([str(bag), "--live", "--rate", str(rate)], tmp_path / "live.json")
        if "step_left_out" not in live["problems"]:
            break
    assert live["problems"] == {}

    def plain(found: dict) -> list[tuple]:
        keys = ("action", "start", "end", "started", "verdict")
        return [
            (without_run(e["event_id"]), *(e[key] for key in keys), round(e["confidence"], 4))
            for e in found["events"][str(bag)]
        ]

    assert len(plain(library)) >= 2
    assert plain(live) == plain(library)
    for name, metric in library["metrics"].items():
        assert live["metrics"][name]["value"] == pytest.approx(metric["value"], abs=1e-4), name
    assert live["bag_seconds"] == pytest.approx(library["bag_seconds"])
    assert library["latency_s"] is None
    assert 0 < live["latency_s"]["median"] <= live["latency_s"]["p90"] <= live["latency_s"]["max"] < 5


def test_bags_that_cannot_be_played_are_reported(bag: Path, tmp_path: Path) -> None:
    def reason(path: Path, **options: str) -> str:
        found = run_bag_live(str(path), EvaluationOptions(**options), lambda *_: None)
        assert isinstance(found, str)
        return found

    assert reason(tmp_path / "no") == f"{tmp_path}/no: no such bag"
    assert "octopus" in reason(bag, source="octopus")
    assert "no topic" in reason(bag, source="zed")


def test_live_runs_need_ros(bag: Path, capsys: pytest.CaptureFixture) -> None:
    assert command.main([str(bag), "--live"]) == 2
    assert "--live needs ROS 2 and the built package: run it as 'ros2 run" in capsys.readouterr().err
