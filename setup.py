"""The ROS-free library as a plain Python package (`pip install .`). Inside ROS 2, CMakeLists.txt installs it."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def requirements(name):
    """The requirements of requirements/NAME.txt, with those of the files that it includes."""
    found = []
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        if line.startswith("-r "):
            found += requirements(line[len("-r ") :].removesuffix(".txt"))
        elif line and not line.startswith("#"):
            found.append(line)
    return found


# Data directories of the source tree that become packages: the places where usdrl_ros.resources looks first.
DATA = {"usdrl_ros.config": "config", "usdrl_ros.interfaces": "msg"}

setup(
    name="usdrl_ros",
    version=re.search(r'__version__ = "(.+)"', (ROOT / "usdrl_ros" / "__init__.py").read_text()).group(1),
    description="Skeleton-based human action understanding for robots, with the foundation model USDRL",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[*find_packages(include=["usdrl_ros", "usdrl_ros.*"]), *DATA],
    package_dir=DATA,
    package_data={
        "usdrl_ros": [
            "py.typed",
            "models/*.onnx",
            "models/*.npz",
            "models/*.ckpt",
            "models/*.md",
            "evaluation/report/*.css",
        ],
        "usdrl_ros.config": ["*.yaml", "*.rviz", "*.json", "*.xml", "*/*.yaml"],
        "usdrl_ros.interfaces": ["*.msg"],
    },
    install_requires=requirements("run"),
    extras_require={"train": requirements("train"), "test": requirements("test")},
    entry_points={
        "console_scripts": [
            "usdrl-evaluate = usdrl_ros.evaluation.command:main",
            "usdrl-annotate = usdrl_ros.evaluation.annotate:main",
        ]
    },
    zip_safe=False,
)
