"""Clips a second of a pretraining step, ours against the recipe as its authors run it (`bench.published`), in one run.

    python -m bench.pretraining --width 64 --batch 96 --archive archives/utd_mhad

A step is data, augmentation, forward, backward and optimiser, on the same clips, with the same width, batch and views.
Before it is timed, both encoders are checked to give the same features and both losses the same value, from the same
weights. The two then take turns; the median over the turns is given. With loading processes, as many batches as they
may have ready are used up before the clock starts, so that what is timed is the steady state.

The authors' network always has places for two people. Where the clips show one, ours is timed twice: with two places
as theirs (the same network), and with one, which is how such data are trained here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bench.published import PublishedModel, PublishedViews, published_loss
from training.configuration import build
from training.data.archive import Archive, ArchiveWriter
from training.data.augmentations import make_views
from training.data.clips import ClipDataset, ShuffledBatches, batches
from training.model.weights import encoder_from_authors, projectors_from_authors
from training.runs import machine
from training.tasks.pretrain import PretrainConfig, PretrainModule
from usdrl_ros.recording import Recording, Segment
from usdrl_ros.skeleton.normalize import normalize

PEOPLE = 2
PREFETCH = 4
"""Batches that each loading process may have ready, as published."""


@dataclass
class Measurement:
    """What was measured of one way.

    Args:
        clips_per_s: One value a turn.
        peak_memory_mib: On a GPU: the most that was allocated.
        busy_share: On a GPU: share of the time in which it computed.
    """

    clips_per_s: list[float] = field(default_factory=list)
    peak_memory_mib: float | None = None
    busy_share: float | None = None

    @property
    def median(self) -> float:
        """Clips a second."""
        return statistics.median(self.clips_per_s)


class Way:
    """One way of pretraining: a network, its optimiser, and steps without end."""

    def __init__(self, network: nn.Module, batch: int, device: torch.device, half: bool, fused: bool = False) -> None:
        self.network, self.batch, self.device, self.half = network.to(device).train(), batch, device, half
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(parameters, 5e-4, weight_decay=1e-5, fused=fused)
        self.scaler = torch.amp.GradScaler(device.type, enabled=half)
        self.steps = self._steps()

    def losses(self) -> Iterator[Tensor]:
        """The loss of one batch after another, without end."""
        raise NotImplementedError

    def _steps(self) -> Iterator[None]:
        for loss in self.losses():
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad()
            yield

    def autocast(self) -> torch.autocast:
        """Half precision where the network runs, if it is wanted."""
        return torch.autocast(self.device.type, torch.float16, enabled=self.half)

    def bytes_held(self) -> int:
        """What its parameters and its optimiser keep in memory between steps."""
        tensors = [*self.network.parameters(), *self.network.buffers()]
        tensors += [value for state in self.optimizer.state.values() for value in state.values()]
        return sum(tensor.nbytes for tensor in tensors if tensor.device.type == self.device.type)


class Ours(Way):
    """`training.tasks.pretrain`, without Lightning around it."""

    def __init__(
        self,
        archive: Archive,
        width: int,
        batch: int,
        views: int,
        workers: int,
        device: torch.device,
        half: bool,
        people: int = PEOPLE,
    ) -> None:
        values = {"name": "bench", "data": {}, "width": width, "batch_size": batch, "views": views, "people": people}
        config = build(PretrainConfig, values, "bench")
        self.module = PretrainModule(config.model(25).as_dict(), asdict(config))
        dataset = ClipDataset([(archive, archive.clips())], people)
        self._loader = batches(dataset, ShuffledBatches(len(dataset), batch, seed=0), workers)
        self._generator = torch.Generator(device).manual_seed(0)
        super().__init__(self.module, batch, device, half, fused=device.type == "cuda")

    def losses(self) -> Iterator[Tensor]:
        for epoch in count():
            self._loader.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
            for batch in self._loader:
                views = make_views(
                    batch.to(self.device), self.module.view, self.module.options["views"], self._generator
                )
                with self.autocast():
                    loss, _ = self.module.loss(views)
                yield loss


class Published(Way):
    """The authors' way: `bench.published`."""

    def __init__(
        self, data: Path, width: int, batch: int, views: int, workers: int, device: torch.device, half: bool
    ) -> None:
        self.model = PublishedModel(width)
        self._loader = DataLoader(
            PublishedViews(data / "joints.npy", data / "lengths.npy", views),
            batch,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            pin_memory=device.type == "cuda",
            prefetch_factor=PREFETCH if workers else None,
            persistent_workers=workers > 0,
        )
        super().__init__(self.model, batch, device, half)

    def losses(self) -> Iterator[Tensor]:
        while True:
            for views in self._loader:
                on_device = [view.float().to(self.device) for view in views]
                with self.autocast():
                    loss = published_loss(self.model(*on_device))
                yield loss


def check_equal(ours: Ours, published: Published, views: int) -> None:
    """Give both the same weights and hold their features and losses against each other.

    Raises:
        ValueError: They differ by more than rounding.
    """
    state = published.model.state_dict()
    ours.module.model.encoder.load_state_dict(encoder_from_authors(state))
    ours.module.projectors.load_state_dict(projectors_from_authors(state))
    x = torch.randn(views, 8, 3, 64, 25, PEOPLE, generator=torch.Generator().manual_seed(0)).to(ours.device)
    networks = (ours.module, published.model)
    for network in networks:
        network.eval()
    with torch.no_grad():
        features = ours.module.model.tokens(x[0]), published.model.tokens(x[0])
        losses = ours.module.loss(x)[0], published_loss(published.model(*x))
    for network in networks:
        network.train()
    for name, found, expected in (*zip(("y_t", "y_s"), *features, strict=True), ("the loss", *losses)):
        if not torch.allclose(found, expected, rtol=1e-3, atol=1e-4):
            raise ValueError(f"{name} differs by up to {(found - expected).abs().max().item():g} between the two ways")


def measure(way: Way, others: Sequence[Way], measurement: Measurement, steps: int, warm_up: int) -> None:
    """One turn: warm up, then time steps; `others` keep memory of the device meanwhile."""
    for _ in range(warm_up):
        next(way.steps)
    _wait(way.device)
    if way.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    for _ in range(steps):
        next(way.steps)
    _wait(way.device)
    measurement.clips_per_s.append(steps * way.batch / (time.perf_counter() - began))
    if way.device.type == "cuda":
        held = sum(other.bytes_held() for other in others)
        peak = (torch.cuda.max_memory_allocated() - held) / 2**20
        measurement.peak_memory_mib = max(peak, measurement.peak_memory_mib or 0.0)


def busy_share(way: Way, steps: int, warm_up: int) -> float:
    """Share of the time in which the GPU runs something, by its profiler, over some steps."""
    for _ in range(warm_up):
        next(way.steps)
    _wait(way.device)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        began = time.perf_counter()
        for _ in range(steps):
            next(way.steps)
        _wait(way.device)
        wall_us = 1e6 * (time.perf_counter() - began)
    spans = [
        (event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == torch.autograd.DeviceType.CUDA and not getattr(event, "is_user_annotation", False)
    ]
    return covered(spans) / wall_us


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """How much of a line is covered by spans (start, end), which may overlap."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return total


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def made_up(directory: Path, clips: int = 512) -> Archive:
    """An archive of random motions of 50 to 120 frames, as long as the clips of UTD-MHAD."""
    rng = np.random.default_rng(0)
    with ArchiveWriter(directory, name="made_up", actions=("move",)) as writer:
        for index in range(clips):
            frames = int(rng.integers(50, 121))
            joints = rng.normal(0.0, 0.4, (1, 25, 3)) + rng.normal(0.0, 0.02, (frames, 25, 3)).cumsum(0)
            stamps = np.arange(frames) / 30
            segments = (Segment(0.0, stamps[-1], "move"),)
            writer.add(Recording(f"clip_{index}", "ntu_25", stamps, {"person_1": joints}, segments))
    return Archive(directory)


def pad(archive: Archive, directory: Path) -> None:
    """Write clips as the authors keep them: one padded, normalised array (N, 3, T, V, M), and lengths (N,)."""
    clips = archive.clips()
    shape = (len(clips), 3, int(clips.length.max()), 25, PEOPLE)
    joints = np.lib.format.open_memmap(directory / "joints.npy", "w+", np.float32, shape)
    for index, (first, length) in enumerate(zip(clips.first, clips.length, strict=True)):
        skeletons = normalize(np.asarray(archive.joints[first : first + length, :PEOPLE], np.float64))
        joints[index, :, :length, :, : skeletons.shape[1]] = skeletons.transpose(3, 0, 2, 1)
    joints.flush()
    np.save(directory / "lengths.npy", clips.length)


def compare(
    archive: Archive, width: int, batch: int, views: int, steps: int, turns: int, workers: int, device: torch.device
) -> dict[str, Measurement]:
    """Measure all ways in turn."""
    half = device.type == "cuda"
    with tempfile.TemporaryDirectory() as directory:
        pad(archive, Path(directory))
        ours = Ours(archive, width, batch, views, workers, device, half)
        published = Published(Path(directory), width, batch, views, workers, device, half)
        check_equal(ours, published, views)
        ways: dict[str, Way] = {"ours": ours, "published": published}
        if archive.joints.shape[1] == 1:
            ways["ours, one person"] = Ours(archive, width, batch, views, workers, device, half, people=1)
        found = {name: Measurement() for name in ways}
        warm_up = max(workers * PREFETCH, 1)
        for _ in range(turns):
            for name, way in ways.items():
                measure(way, [each for each in ways.values() if each is not way], found[name], steps, warm_up)
        if device.type == "cuda":
            for name, way in ways.items():
                found[name].busy_share = busy_share(way, steps, warm_up)
    return found


def show(found: dict[str, Measurement], title: str, console: Console) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left")
    for heading in ("way", "clips/s (median)", "turns", "against published", "peak memory", "GPU busy"):
        table.add_column(heading)
    for name, each in found.items():
        table.add_row(
            name,
            f"{each.median:.1f}",
            " ".join(f"{value:.1f}" for value in each.clips_per_s),
            f"{each.median / found['published'].median:.2f}",
            "-" if each.peak_memory_mib is None else f"{each.peak_memory_mib:.0f} MiB",
            "-" if each.busy_share is None else f"{each.busy_share:.0%}",
        )
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(prog="python -m bench.pretraining", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=1024 if cuda else 256, help="H (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=384 if cuda else 96, help="clips a step (default: %(default)s)")
    parser.add_argument("--views", type=int, default=4, help="views of each clip (default: %(default)s)")
    parser.add_argument("--archive", type=Path, help="a prepared data set of three dimensions (default: made-up clips)")
    parser.add_argument("--steps", type=int, default=20 if cuda else 2, help="steps a turn (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=5, help="turns of each way (default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=8 if cuda else 0, help="loading processes of each way (default: %(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs/bench/pretraining.json"), help="JSON file (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if cuda else "cpu")
    try:
        with tempfile.TemporaryDirectory() as directory:
            archive = Archive(options.archive) if options.archive else made_up(Path(directory) / "made_up")
            clips, batch = len(archive.clips()), min(options.batch, len(archive.clips()))
            found = compare(
                archive, options.width, batch, options.views, options.steps, options.turns, options.workers, device
            )
    except ValueError as error:
        print(f"bench.pretraining: {error}", file=sys.stderr)
        return 1
    setting = {
        "machine": machine(),
        "device": device.type,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "precision": "16-mixed" if cuda else "32",
        "archive": archive.name,
        "clips": clips,
        "width": options.width,
        "batch": batch,
        "views": options.views,
        "steps": options.steps,
        "workers": options.workers,
    }
    show(found, ", ".join(f"{key} {value}" for key, value in setting.items()), Console())
    options.output.parent.mkdir(parents=True, exist_ok=True)
    ways = {name: asdict(each) | {"median": each.median} for name, each in found.items()}
    ratios = {name: each.median / found["published"].median for name, each in found.items()}
    options.output.write_text(json.dumps(setting | {"ways": ways, "ratios": ratios}, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
