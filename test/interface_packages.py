"""Message packages of pose estimators, built for the tests out of `test/interfaces/PACKAGE/msg`.

The packages have the names and fields of the real ones, so that sources are tested with messages that went over DDS.
They are built once, by colcon, into `build/test_interfaces`, and again when a file of theirs changes.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path

import pytest

INTERFACES = Path(__file__).resolve().parent / "interfaces"
ROOT = INTERFACES.parent.parent / "build" / "test_interfaces"
PACKAGES = tuple(sorted(path.name for path in INTERFACES.iterdir() if path.is_dir()))
_NEEDS = ("builtin_interfaces", "geometry_msgs", "std_msgs")

_PACKAGE_XML = """<?xml version="1.0"?>
<package format="3">
  <name>{name}</name>
  <version>0.0.0</version>
  <description>For tests: the fields that publishers of this package's messages fill.</description>
  <maintainer email="maintainers@usdrl-ros.invalid">usdrl_ros maintainers</maintainer>
  <license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  {depends}
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""
_CMAKE = """cmake_minimum_required(VERSION 3.20)
project({name})
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
foreach(need {needs})
  find_package(${{need}} REQUIRED)
endforeach()
file(GLOB messages RELATIVE ${{CMAKE_CURRENT_SOURCE_DIR}} msg/*.msg)
rosidl_generate_interfaces(${{PROJECT_NAME}} ${{messages}} DEPENDENCIES {needs})
set(generated ${{PROJECT_NAME}}__rosidl_generator_py)
get_target_property(include_dirs ${{generated}} INTERFACE_INCLUDE_DIRECTORIES)
list(TRANSFORM include_dirs REPLACE "^[^$].*" "$<BUILD_INTERFACE:\\\\0>")
set_target_properties(${{generated}} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${{include_dirs}}")
ament_package()
"""


@pytest.fixture(scope="session")
def interface_packages() -> Iterator[tuple[str, ...]]:
    """The packages' names; they can be imported here and in programs that the test starts."""
    with _built_and_used(PACKAGES):
        yield PACKAGES


@pytest.fixture(scope="session")
def tf2_messages() -> Iterator[type]:
    """tf2_msgs/msg/TFMessage, which ROS 2 from PyPI does not have."""
    with ExitStack() as stack:
        try:
            import_module("tf2_msgs.msg")
        except ImportError:
            stack.enter_context(_built_and_used(("tf2_msgs",)))
        yield import_module("tf2_msgs.msg").TFMessage


@contextmanager
def _built_and_used(packages: Sequence[str]) -> Iterator[None]:
    """Packages can be imported here and in programs that are started."""
    pytest.importorskip("rclpy", reason="no ROS 2 here: run by `make test`")
    if not shutil.which("colcon"):
        pytest.skip("no colcon here, which builds the messages")
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run of the tests may be building them
        prefix = _built(packages)
    with pytest.MonkeyPatch.context() as patch:
        python = next(prefix.rglob("*-packages"))
        patch.syspath_prepend(str(python))
        for library in sorted((prefix / "lib").glob("*.so")):  # what the dynamic linker would find by its path
            ctypes.CDLL(str(library))
        for name, value in (
            ("PYTHONPATH", python),
            ("LD_LIBRARY_PATH", prefix / "lib"),
            ("AMENT_PREFIX_PATH", prefix),
        ):
            patch.setenv(name, f"{value}{os.pathsep}{os.environ.get(name, '')}")
        yield


def _built(packages: Sequence[str]) -> Path:
    """The prefix of packages, which are built unless they have been, from the same files."""
    files = sorted(file for package in packages for file in (INTERFACES / package / "msg").glob("*.msg"))
    parts = [f"{path.relative_to(INTERFACES)}\n{path.read_text(encoding='utf-8')}" for path in files]
    parts += [_PACKAGE_XML, _CMAKE, sys.version, os.environ.get("ROS_DISTRO", ""), str(ROOT)]
    name = packages[0] if len(packages) == 1 else "all"
    prefix = ROOT / f"{name}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"
    if not (prefix / "done").is_file():
        shutil.rmtree(prefix, ignore_errors=True)
        _build(packages, prefix)
        (prefix / "done").touch()
    return prefix


def _build(packages: Sequence[str], prefix: Path) -> None:
    work = ROOT / "work"
    shutil.rmtree(work, ignore_errors=True)
    depends = "\n  ".join(f"<depend>{need}</depend>" for need in _NEEDS)
    for package in packages:
        source = work / "src" / package
        shutil.copytree(INTERFACES / package, source)
        (source / "package.xml").write_text(_PACKAGE_XML.format(name=package, depends=depends), encoding="utf-8")
        (source / "CMakeLists.txt").write_text(_CMAKE.format(name=package, needs=" ".join(_NEEDS)), encoding="utf-8")
    command = ["colcon", "--log-base", str(work / "log"), "build", "--merge-install"]
    command += ["--base-paths", str(work / "src"), "--build-base", str(work / "build"), "--install-base", str(prefix)]
    command += ["--event-handlers", "console_direct-", "--cmake-args", "-DBUILD_TESTING=OFF", "-DCMAKE_BUILD_TYPE=None"]
    command += [f"-DPython3_EXECUTABLE={sys.executable}", f"-DCMAKE_INSTALL_RPATH={prefix / 'lib'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"the messages could not be built:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    shutil.rmtree(work)
