"""Each executable that is installed prints its usage, and refuses arguments that it does not know."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from ros_fixtures import ROOT, own_domain

pytestmark = pytest.mark.slow
EXECUTABLES = {
    name: ["-m", module]
    for name, module in re.findall(r"install_executable\((\S+) (\S+)\)", (ROOT / "CMakeLists.txt").read_text())
} | {"greeter": [str(ROOT / "examples" / "greeter.py")]}
LOG = re.compile(r"\[(INFO|WARN|ERROR|FATAL)\]|Traceback")


def run(name: str, *arguments: str) -> subprocess.CompletedProcess:
    with own_domain():
        command = [sys.executable, *EXECUTABLES[name], *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", EXECUTABLES)
def test_help_is_printed_and_nothing_is_started(name):
    done = run(name, "--help")
    assert done.returncode == 0
    assert "usage: " in done.stdout
    assert done.stderr == ""
    assert not LOG.search(done.stdout + done.stderr)


@pytest.mark.parametrize("name", EXECUTABLES)
def test_unknown_arguments_are_refused(name):
    done = run(name, "argument", "--no-such-option")
    assert done.returncode == 2
    assert "usage: " in done.stderr
    assert "--no-such-option" in done.stderr
    assert not LOG.search(done.stdout + done.stderr)


def test_the_usage_of_the_perception_node_lists_its_parameters():
    usage = run("perception", "--help").stdout
    assert "start_threshold: Probability in excess of this" in usage
    assert "(a number from 0.01 to 1; default: 0.65)" in usage


def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(tmp_path):
    """The installed executable, in a Python that has no rosbags."""
    blocked = "import sys; sys.modules['rosbags'] = None; import runpy; sys.argv = sys.argv[1:]; "
    template = (ROOT / "cmake" / "executable.py.in").read_text()
    program = tmp_path / "record"
    program.write_text(template.replace("@name@", "record").replace("@module@", "usdrl_ros.nodes.record"))
    with own_domain():
        command = [sys.executable, "-c", f"{blocked}runpy.run_path(sys.argv[0], run_name='__main__')", str(program)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"record: rosbags is not installed: \S+ -m pip install \S*\s?rosbags\n", done.stderr)
