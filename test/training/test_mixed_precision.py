"""Training steps of every task under autocast, by CUDA's rules emulated on the CPU, in bfloat16 and float16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")

import moving_arms  # noqa: E402
import untrimmed  # noqa: E402
from cuda_autocast import CudaAutocast, MixedPrecisionError  # noqa: E402

from training.configuration import build, plain_values  # noqa: E402
from training.data.archive import Archive  # noqa: E402
from training.data.augmentations import ViewOptions, centre_crop, make_views, make_windows  # noqa: E402
from training.data.clips import ClipDataset  # noqa: E402
from training.data.frames import FrameSource, RandomWindows, WindowLength  # noqa: E402
from training.model.options import ModelOptions  # noqa: E402
from training.tasks.detect import DetectConfig  # noqa: E402
from training.tasks.fine_tuning import FineTuningModule  # noqa: E402
from training.tasks.frame_module import FramewiseModule  # noqa: E402
from training.tasks.pretrain import PretrainConfig, PretrainModule  # noqa: E402
from training.tasks.recognize import RecognizeConfig  # noqa: E402
from training.tasks.robot import RobotConfig, RobotModule  # noqa: E402

LOW = [torch.bfloat16, torch.float16]
ALL_VARIATIONS: dict[str, Any] = {
    "crop": [0.4, 1.0], "crop_frames": 8, "yaw_deg": 20.0, "tilt_deg": 10.0, "mirror": 0.5, "size": 0.1,
    "noise_m": 0.02, "sparse": 0.5, "unseen": 0.5, "poorer": 0.5, "shear": 0.3, "corruption": 0.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return moving_arms.write_archive(tmp_path_factory.mktemp("arms") / "arms")


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return untrimmed.write_archive(tmp_path_factory.mktemp("sessions") / "untrimmed")


def options(actions: tuple[str, ...] = (), **values: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"width": 16, "layers": 2, "people": 1, "modalities": ("joint",), "drop_path": 0.2}
    return ModelOptions(actions=actions, **given | values).as_dict()


def clips(archive: Archive, count: int = 12) -> Any:
    return ClipDataset([(archive, archive.clips())]).__getitems__(range(count))


def windows(archive: Archive, count: int = 6) -> Any:
    source = FrameSource(archive, np.arange(len(archive)), WindowLength(5.0))
    return RandomWindows(source, count).__getitems__(range(count))


def pretraining(arms: Archive, sessions: Archive, **values: Any) -> tuple[Any, Any]:
    config = build(PretrainConfig, {"name": "a", "data": {"arms": "all"}, "view": ALL_VARIATIONS, **values}, "")
    modalities = config.modalities
    return PretrainModule(options(modalities=modalities, heads=config.heads), plain_values(config)), clips(arms)


def unified_pretraining(arms: Archive, sessions: Archive) -> tuple[Any, Any]:
    return pretraining(arms, sessions, modalities=["joint", "bone", "motion"])


def pretraining_with_heads(arms: Archive, sessions: Archive) -> tuple[Any, Any]:
    return pretraining(arms, sessions, heads=2)


def fine_tuning(arms: Archive, sessions: Archive) -> tuple[Any, Any]:
    given = {"name": "a", "data": "arms", "mode": "fine_tuned", "view": ALL_VARIATIONS, "observed": [0.5, 1.0]}
    module = FineTuningModule(options(moving_arms.ACTIONS), plain_values(build(RecognizeConfig, given, "")))
    return module, clips(arms)


def detection(arms: Archive, sessions: Archive, **values: Any) -> tuple[Any, Any]:
    view = ALL_VARIATIONS | {"crop": [1.0, 1.0], "rotate_by": "window"}
    config = build(DetectConfig, {"name": "a", "data": "untrimmed", "view": view, **values}, "")
    return FramewiseModule(options(untrimmed.ACTIONS), plain_values(config)), windows(sessions)


def frozen_detection(arms: Archive, sessions: Archive) -> tuple[Any, Any]:
    return detection(arms, sessions, frozen=True)


def robot(arms: Archive, sessions: Archive) -> tuple[Any, Any]:
    config = build(RobotConfig, {"name": "a", "data": "untrimmed"}, "")
    module = RobotModule(options(untrimmed.ACTIONS), plain_values(config))
    own = ClipDataset([(sessions, sessions.clips())]).__getitems__(range(6))
    return module, {"windows": windows(sessions), "clips": own}


TASKS: list[Callable[[Archive, Archive], tuple[Any, Any]]] = [
    pretraining, unified_pretraining, pretraining_with_heads, fine_tuning, detection, frozen_detection, robot,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("dtype", LOW, ids=str)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)
def test_training_steps_run_under_the_rules_of_cuda(
    task: Callable[..., tuple[Any, Any]], dtype: torch.dtype, arms: Archive, sessions: Archive
) -> None:
    torch.manual_seed(0)
    module, batch = task(arms, sessions)
    module.log = module.log_dict = lambda *args, **kwargs: None
    module.train()
    with CudaAutocast(dtype):
        loss = module.training_step(batch, 0)
    loss.backward()
    exact = module.training_step(batch, 0)  # the same views, in float32
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(exact), rel=0.1)
    trained = {name: p.grad for name, p in module.named_parameters() if p.requires_grad and p.grad is not None}
    assert trained
    for name, gradient in trained.items():
        assert gradient.dtype == torch.float32, name
        assert torch.isfinite(gradient).all(), name


@pytest.mark.parametrize("dtype", LOW, ids=str)
def test_views_are_the_same_under_autocast(dtype: torch.dtype, arms: Archive, sessions: Archive) -> None:
    view, batch, window = build(ViewOptions, ALL_VARIATIONS, ""), clips(arms), windows(sessions)

    def views() -> list[torch.Tensor]:
        def seeded() -> torch.Generator:
            return torch.Generator().manual_seed(5)

        return [
            make_views(batch, view, 2, seeded()),
            make_windows(window.clips, window.positions, view, seeded()),
            centre_crop(batch, 0.9, rotate_by="window"),
        ]

    exact = views()
    with CudaAutocast(dtype):
        low = views()
    for one, other in zip(exact, low, strict=True):
        assert one.dtype == other.dtype == torch.float32
        assert torch.equal(one, other)


def test_the_emulation_refuses_what_cuda_refuses() -> None:
    x, y = torch.randn(3, 4), torch.randn(4, 4)
    with CudaAutocast(torch.bfloat16):
        low = x @ y
        assert low.dtype == torch.bfloat16
        assert torch.nn.functional.layer_norm(low, (4,)).dtype == torch.float32
        assert low.softmax(-1).dtype == torch.float32
        assert (low + x).dtype == torch.float32
        with pytest.raises(MixedPrecisionError, match=r"torch.stack of torch.bfloat16 and torch.float32"):
            torch.stack([x, low])
        with pytest.raises(MixedPrecisionError, match=r"torch.lerp"):
            torch.lerp(x, low, 0.5)
        with torch.autocast("cpu", enabled=False):
            assert (x @ y).dtype == torch.float32
    assert (x @ y).dtype == torch.float32
