"""Prepare ROS 2 from PyPI: check what the machine must bring, and mend what the wheels bring from their own machine.

python3 tools/environment.py check [wheels]     before .venv is made; wheels: with ROS 2 from PyPI
.venv/bin/python tools/environment.py mend      after ROS 2 was installed into it
"""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import sys
import sysconfig
from pathlib import Path


def missing() -> list[str]:
    """What keeps this machine from building a ROS 2 package, one line each, with what to do."""
    found = []
    if importlib.util.find_spec("ensurepip") is None:
        found.append("Python's venv is incomplete: sudo apt install python3-venv")
    if shutil.which("c++") is None:
        found.append("no C++ compiler: sudo apt install build-essential")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        found.append(f"no headers of {sys.executable}: sudo apt install python3-dev")
    return found


def missing_for_wheels() -> list[str]:
    """What keeps this machine from using the wheels of ROS 2."""
    found = []
    if not (3, 10) <= sys.version_info[:2] <= (3, 14):
        found.append(f"Python 3.10 to 3.14 is needed, {sys.executable} is {platform.python_version()}: set PYTHON=...")
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        found.append("the ROS 2 wheels are for Linux on x86-64 only: install ROS 2 and source its setup.bash")
    return found


def mend(prefix: Path) -> int:
    """Point the wheels' CMake exports to this machine's headers; the number of files changed.

    The exports of the Python message libraries name include directories of the machine that built the wheels, and
    CMake refuses to generate where a directory does not exist.
    """
    import numpy

    here = {
        r"/opt/python/[^;\"]*/numpy/_core/include": numpy.get_include(),
        r"/opt/python/[^;\"/]*/include/python3\.\d+": sysconfig.get_path("include"),
    }
    changed = 0
    for path in prefix.glob("share/*/cmake/*Export*.cmake"):
        text = mended = path.read_text()
        for pattern, directory in here.items():
            mended = re.sub(pattern, directory.replace("\\", r"\\"), mended)
        if mended != text:
            path.write_text(mended)
            changed += 1
    return changed


def main() -> None:
    what = sys.argv[1:]
    if what == ["mend"]:
        mend(Path(sys.prefix))
    elif what in (["check"], ["check", "wheels"]):
        problems = missing() + (missing_for_wheels() if "wheels" in what else [])
        if problems:
            sys.exit("\n".join(["This machine is not ready:", *problems]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
