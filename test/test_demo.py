"""The demo's own part: what needs the nodes is in test_live.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from usdrl_ros.demo.__main__ import main
from usdrl_ros.demo.actor import play
from usdrl_ros.evaluation.bag_writer import write_recording
from usdrl_ros.evaluation.bags import read_topics


@pytest.mark.parametrize("made", ["scene", "published"])
def test_a_bag_where_the_demo_writes_is_kept(made: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("scene", "published"):
        write_recording(play(["wave"], rate_hz=5.0), tmp_path / name)
    before = {name: read_topics(tmp_path / name) for name in ("scene", "published")}
    assert main(["--output", str(tmp_path), "--bag", str(tmp_path / made)]) == 1
    assert "lies where the demo writes" in capsys.readouterr().err
    assert {name: read_topics(tmp_path / name) for name in ("scene", "published")} == before
