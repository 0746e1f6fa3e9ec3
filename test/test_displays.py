"""The files for RViz and Foxglove show topics that the node publishes."""

from __future__ import annotations

import json
import re

import yaml

from usdrl_ros.resources import data_directory

CONFIG = data_directory("config")
PUBLISHED = set(
    re.findall(r'"(usdrl/\w+)"', (CONFIG.parent / "usdrl_ros" / "nodes" / "outputs.py").read_text(encoding="utf-8"))
) | {"/diagnostics"}


def panels(layout: dict | str) -> list[str]:
    """The panels of a layout of Foxglove, in their order."""
    return [layout] if isinstance(layout, str) else panels(layout["first"]) + panels(layout["second"])


def test_foxglove_shows_what_is_published():
    content = json.loads((CONFIG / "usdrl.foxglove.json").read_text(encoding="utf-8"))
    assert sorted(panels(content["layout"])) == sorted(content["configById"])
    shown = set(re.findall(r'"(/[\w/]+)(?:\.\w+)?"', json.dumps(content["configById"])))
    assert {"/usdrl/markers", "/usdrl/actions", "/diagnostics"} <= shown
    assert {topic.removeprefix("/usdrl/") for topic in shown if topic.startswith("/usdrl/")} <= {
        topic.removeprefix("usdrl/") for topic in PUBLISHED
    }


def test_rviz_shows_what_is_published():
    content = yaml.safe_load((CONFIG / "usdrl.rviz").read_text(encoding="utf-8"))
    topics = [
        display["Topic"]["Value"] for display in content["Visualization Manager"]["Displays"] if "Topic" in display
    ]
    assert topics == ["usdrl/markers"]
    assert set(topics) <= PUBLISHED
