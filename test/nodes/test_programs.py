"""Each executable that is installed prints its usage, and refuses arguments that it does not know."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from ros_fixtures import ROOT, own_domain

pytestmark = pytest.mark.slow
EXECUTABLES = dict(re.findall(r"install_executable\((\S+) (\S+)\)", (ROOT / "CMakeLists.txt").read_text()))
LOG = re.compile(r"\[(INFO|WARN|ERROR|FATAL)\]|Traceback")


def run(module: str, *arguments: str) -> subprocess.CompletedProcess:
    with own_domain():
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", EXECUTABLES)
def test_help_is_printed_and_nothing_is_started(name):
    done = run(EXECUTABLES[name], "--help")
    assert done.returncode == 0
    assert "usage: " in done.stdout
    assert done.stderr == ""
    assert not LOG.search(done.stdout + done.stderr)


@pytest.mark.parametrize("name", EXECUTABLES)
def test_unknown_arguments_are_refused(name):
    done = run(EXECUTABLES[name], "argument", "--no-such-option")
    assert done.returncode == 2
    assert "usage: " in done.stderr
    assert "--no-such-option" in done.stderr
    assert not LOG.search(done.stdout + done.stderr)


def test_the_usage_of_the_perception_node_lists_its_parameters():
    usage = run("usdrl_ros.nodes.perception", "--help").stdout
    assert "start_threshold: Probability in excess of this" in usage
    assert "(a number from 0.01 to 1; default: 0.75)" in usage
