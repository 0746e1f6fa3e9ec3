"""The demo's own part: what needs the nodes is in test_live.py."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from usdrl_ros.bags.reader import TRUTH, read_events, read_topics
from usdrl_ros.bags.writer import write_recording
from usdrl_ros.demo.__main__ import DemoError, _act, main
from usdrl_ros.demo.actor import ACTIONS, play
from usdrl_ros.inference.factory import default_model
from usdrl_ros.inference.model_file import read_model_file


@pytest.mark.slow
@pytest.mark.parametrize("made", ["scene", "published"])
def test_a_bag_where_the_demo_writes_is_kept(made: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("scene", "published"):
        write_recording(play(["wave"], rate_hz=5.0), tmp_path / name)
    before = {name: read_topics(tmp_path / name) for name in ("scene", "published")}
    assert main(["--output", str(tmp_path), "--bag", str(tmp_path / made)]) == 1
    assert "lies where the demo writes" in capsys.readouterr().err
    assert {name: read_topics(tmp_path / name) for name in ("scene", "published")} == before


def test_the_scene_is_of_what_actor_and_model_know(tmp_path: Path) -> None:
    options = argparse.Namespace(seed=7, actions=3, people=2, cameras=1, output=tmp_path)
    scene = _act(options, read_model_file(default_model()).info.actions)
    truth = {event.action for event in read_events(scene, TRUTH)}
    assert truth
    assert truth <= set(ACTIONS) & set(read_model_file(default_model()).info.actions)
    with pytest.raises(DemoError, match="the actor can do nothing that the model knows, only walk"):
        _act(options, ("yodel",))
