"""How bags are evaluated: one object for the command line, the library, other processes and the live nodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from usdrl_ros.configuration import ConfigurationError, configuration, option
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.factory import ENGINES, PRECISIONS, default_model, load_engine
from usdrl_ros.inference.model_file import ModelInfo, read_model_file
from usdrl_ros.parallel import default_jobs
from usdrl_ros.scene.placing import read_pose
from usdrl_ros.settings import Settings
from usdrl_ros.sources.inputs import read_inputs

OptionError = ConfigurationError
"""Options that do not go together, or a value that cannot be used; one line."""


@configuration
class EvaluationOptions:
    """How bags are evaluated. All fields have defaults: `EvaluationOptions()` is the shipped model on a bag's truth."""

    bags: tuple[str, ...] = option(default=(), help="Rosbag2 directories, or .mcap or .db3 files.")
    model: Path = option(default=default_model(), help="An .onnx file.")
    engine: str = option(default="auto", help="What runs the model.", choices=ENGINES)
    precision: str = option(
        default="fp32", help="Numeric precision; fp32 makes metrics independent of the machine.", choices=PRECISIONS
    )
    settings: Settings = option(default=Settings(), help="Settings of recognition.")
    source: str = option(default="", help="What the skeletons are; empty: found by the types in the bag.")
    topic: str = option(default="", help="Topic of the skeletons; empty: the source's.")
    layout: str = option(default="", help="Joint layout, where the source leaves it open.")
    association: str = option(default="auto", help="Ids by where people are.", choices=("auto", "on", "off"))
    inputs: tuple[str, ...] = option(default=(), help="Topics of several cameras, as the parameter inputs lists them.")
    fixed_frame: str = option(
        default="", help="Frame that stands still, in which people are followed, by the bag's /tf."
    )
    transform_timeout_s: float = option(default=0.2, help="Seconds that skeletons wait for a pose.", low=0.0, high=10.0)
    camera_poses: tuple[str, ...] = option(
        default=(), help="Poses of cameras that stand still: FRAME X Y Z QX QY QZ QW."
    )
    mend_skeletons: bool = option(default=False, help="Whether wrong units and swapped sides are mended.")

    truth: str = option(default="", help="Topic of the true actions; empty: /usdrl/ground_truth, if it is there.")
    labels: Path | None = option(
        default=None, help="Labels instead of a topic: a file, or a directory of files called like the bags."
    )
    frame_rate: float | None = option(default=None, help="Frames a second of PKU-MMD's labels.", low=0.1, high=1000.0)
    classes: tuple[str, ...] = option(default=(), help="Names of the classes of PKU-MMD's labels.")
    names: Mapping[str, str] = option(default={}, help="What the truth calls an action, and what the model calls it.")
    expect_truth: bool = option(default=True, help="Whether a bag without truth is a fault.")
    requirements: tuple[str, ...] = option(default=(), help="What the metrics must keep, such as mAP_action@0.5>=0.7.")

    json: Path | None = option(default=None, help="File for all metrics and events.")
    timelines: Path | None = option(default=None, help="Directory for a plot of each bag.")
    report: Path | None = option(default=None, help="Directory for report.html and its plots.")
    strips: int = option(default=40, help="Misses and false events in the report.", low=0, high=10_000)

    jobs: int | None = option(default=None, help="Bags at a time.", low=1, high=512)
    dask: str = option(default="", help="Address of a Dask scheduler that runs the bags, such as tcp://host:8786.")
    live: bool = option(default=False, help="Through the real nodes over DDS, with the latency of messages.")
    rate: float = option(default=1.0, help="Speed of a live run, times real time.", low=0.05, high=20.0)

    def __post_init__(self) -> None:
        if self.labels is not None and self.truth:
            raise ValueError("labels and truth: the truth can come from one place only")
        if self.labels is not None and not self.labels.exists():
            raise ValueError(f"labels {self.labels}: no such file or directory")
        if not self.expect_truth and (self.requirements or self.labels or self.truth):
            raise ValueError("--no-truth leaves nothing to --require, --labels and --truth")
        read_inputs(self.inputs)
        if self.inputs and (self.topic or self.source):
            raise ValueError("inputs: they name their topics and sources, so neither --topic nor --source applies")
        if self.camera_poses and not self.fixed_frame:
            raise ValueError("camera_poses: they are poses in the fixed frame; give --fixed-frame")
        for pose in self.camera_poses:
            read_pose(pose)
        if self.dask and (self.live or self.jobs):
            raise ValueError("dask: the cluster runs the bags, so neither --live nor --jobs applies")
        for place in (self.json, self.timelines, self.report):
            if place is not None and not place.parent.is_dir():
                raise ValueError(f"{place}: the directory {place.parent} is not there; make it first")
        for place in (self.timelines, self.report):
            if place is not None and place.exists() and not place.is_dir():
                raise ValueError(f"{place}: is a file, expected a directory")
        if self.json is not None and self.json.is_dir():
            raise ValueError(f"{self.json}: cannot be written: it is a directory")

    @property
    def processes(self) -> int:
        """Processes on this machine that run the bags."""
        bags = len(set(self.bags))
        return 1 if self.live else min(self.jobs or default_jobs(bags), max(bags, 1))

    @property
    def strips_of_bag(self) -> int:
        """Misses and false events of a bag that are to be looked at."""
        return self.strips if self.report is not None else 0

    def model_info(self) -> ModelInfo:
        """What the model's file says of itself; no engine is loaded for it.

        Raises:
            ModelError: It cannot be used.
        """
        return read_model_file(self.model).info

    def load_engine(self) -> Engine:
        """Load the model, on one thread.

        Raises:
            ModelError: It cannot be used.
        """
        return load_engine(self.model, engine=self.engine, precision=self.precision)
