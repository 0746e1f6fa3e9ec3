"""What would break users and no other test sees: metadata that disagree, data left out, a message without a unit."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import usdrl_ros

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The package as `pip install .` lays it out, built out of the source tree, and its metadata."""
    directory = tmp_path_factory.mktemp("build")
    command = ["setup.py", "-q", "egg_info", "--egg-base", directory]
    command += ["build", "--build-base", directory / "temp", "--build-lib", directory]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    return directory


@pytest.mark.parametrize("path", sorted(ROOT.glob("msg/*.msg")), ids=lambda path: path.stem)
def test_every_field_of_a_message_is_explained(path):
    lines = path.read_text().splitlines()
    fields = [index for index, line in enumerate(lines) if line and not line.startswith("#") and "=" not in line]
    assert fields
    assert [lines[index] for index in fields if index == 0 or not lines[index - 1].startswith("# ")] == []


def test_versions_agree(built):
    metadata = (built / "usdrl_ros.egg-info" / "PKG-INFO").read_text()
    assert re.search(r"^Version: (.+)$", metadata, re.M).group(1) == usdrl_ros.__version__
    assert ElementTree.parse(ROOT / "package.xml").findtext("version") == usdrl_ros.__version__


def test_package_xml_declares_what_the_build_uses():
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    assert package.get("format") == "3"
    assert package.findtext("export/build_type") == "ament_cmake"
    declared = {element.text for element in package if element.tag.endswith("depend")}
    cmake = (ROOT / "CMakeLists.txt").read_text()
    assert set(re.findall(r"find_package\((\w+)", cmake)) <= declared


def test_package_xml_declares_the_ros_packages_that_the_code_imports():
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    declared = {element.text for element in package if element.tag.endswith("depend")}
    sources = [*ROOT.glob("usdrl_ros/**/*.py"), *ROOT.glob("launch/*.py")]
    imported = {
        name
        for path in sources
        for name in re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.M)
        if name in ("rclpy", "launch", "launch_ros", "ament_index_python") or name.endswith(("_msgs", "_interfaces"))
    }
    assert {"launch", "launch_ros"} <= imported <= declared


def test_pip_installs_all_code_and_data(built):
    def files(directory, *patterns):
        return {path.relative_to(directory).as_posix() for pattern in patterns for path in directory.glob(pattern)}

    package = built / "usdrl_ros"
    assert files(package, "**/*.py") == files(ROOT / "usdrl_ros", "**/*.py")
    assert files(package / "config", "**/*") == files(ROOT / "config", "**/*")
    assert files(package / "interfaces", "*") == files(ROOT / "msg", "*.msg")
    assert files(package / "models", "*") == files(ROOT / "usdrl_ros" / "models", "*.onnx", "*.ckpt", "*.npz", "*.md")


def test_no_module_takes_the_name_of_a_generated_one():
    assert not [name for name in ("msg", "srv", "action") if (ROOT / "usdrl_ros" / name).exists()]


def test_requirements_of_the_robot_hold_no_torch(built):
    required = (built / "usdrl_ros.egg-info" / "requires.txt").read_text()
    run, extras = required.split("[", 1)
    assert "onnxruntime" in run
    assert "torch" not in run
    assert "torch" in extras


def test_make_help_lists_every_target():
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M).group(1).split()
    command = ["make", "--no-print-directory", "help"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    described = {line.split()[0] for line in listing.splitlines() if len(line.split()) > 1}
    assert described == set(phony) - {"FORCE"}


def test_the_changelog_can_be_read_by_bloom(tmp_path):
    changelog = pytest.importorskip("catkin_pkg.changelog")
    command = [sys.executable, "tools/changelog.py"]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    (tmp_path / "CHANGELOG.rst").write_text(text)
    read = changelog.get_changelog_from_path(str(tmp_path))
    assert [version for version, _, _ in read.foreach_version(reverse=True)] == re.findall(
        r"^## (\d\S+) ", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    entries = (ROOT / "CHANGELOG.md").read_text().partition("\n## Unreleased\n")[2].partition("\n## ")[0]
    made = text.partition("\nForthcoming\n")[2].partition("\n0.")[0]
    assert made.count("\n  * ") == entries.count("\n- ") > 0
