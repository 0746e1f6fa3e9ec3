"""Pretraining: against separate passes written out, over interruptions and over two processes."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")

from training.configuration import ConfigError, RunOptions, build  # noqa: E402
from training.data.archive import ArchiveWriter  # noqa: E402
from training.data.augmentations import ViewOptions  # noqa: E402
from training.data.errors import DatasetError  # noqa: E402
from training.model.losses import DOMAINS, LossWeights, feature_decorrelation  # noqa: E402
from training.model.modalities import modality  # noqa: E402
from training.model.options import ModelOptions  # noqa: E402
from training.model.usdrl import USDRL  # noqa: E402
from training.runs import Record  # noqa: E402
from training.tasks import pretrain as task  # noqa: E402
from training.tasks.pretrain import PretrainConfig, PretrainModule, clips_of, main, pretrain  # noqa: E402
from usdrl_ros.recording import Recording, Segment  # noqa: E402

pytestmark = pytest.mark.slow

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "log_every_n_steps": 1}
POSE = np.random.default_rng(0).normal(0.0, 0.4, (25, 3))


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 clips of three motions that differ in the joint that swings, by four people, of whom p4 is for tests."""
    root = tmp_path_factory.mktemp("archives")
    rng = np.random.default_rng(1)
    with ArchiveWriter(root / "swings", name="swings", actions=("left", "right", "legs")) as writer:
        for i in range(32):
            frames = int(rng.integers(40, 90))
            stamps = np.arange(frames) / 30
            swing = np.zeros((frames, 25, 3))
            joint = (7, 11, 15)[i % 3]
            swing[:, joint, 2] = 0.5 * np.sin(2 * np.pi * (stamps + rng.random()))
            joints = POSE + swing + rng.normal(0.0, 0.01, swing.shape)
            segments = (Segment(0.0, stamps[-1], ("left", "right", "legs")[i % 3]),)
            person = f"p{1 + i % 4}"
            take = Recording(f"take {i}", "ntu_25", stamps, {"person_1": joints}, segments, person=person)
            writer.add(take, {"subjects": "test" if person == "p4" else "train"})
    return root


def config(archives: Path, **values: object) -> PretrainConfig:
    given = {
        "name": "tiny", "data": {"swings": "subjects"}, "archives": str(archives), "width": 16, "layers": 1,
        "people": 1, "batch_size": 12, "epochs": 4, "learning_rate": 1e-3, "drops": [3],
    }  # fmt: skip
    return build(PretrainConfig, given | values, "here")


def weights(run: RunOptions) -> dict[str, torch.Tensor]:
    return torch.load(run.output / "last.ckpt", weights_only=True)["state_dict"]


def logged(run: RunOptions, name: str) -> list[float]:
    with (run.output / "metrics.csv").open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


def module_of(modalities: tuple[str, ...] = ("joint",), views: int = 4, **loss: float) -> PretrainModule:
    """A small module whose result does not depend on chance."""
    torch.manual_seed(0)
    options = ModelOptions(modalities=modalities, width=16, people=1, drop_path=0.0, layers=1)
    training = {"view": dataclasses.asdict(ViewOptions()), "loss": dataclasses.asdict(LossWeights(**loss))}
    module = PretrainModule(options.as_dict(), training | {"views": views, "seed": 0, "modalities_a_step": 0})
    for parameter in module.parameters():  # at their first values, all features are nearly equal
        torch.nn.init.normal_(parameter, std=0.2)
    return module.train()


def random_views(count: int, clips: int = 8) -> torch.Tensor:
    return torch.randn(count, clips, 3, 64, 25, 1, generator=torch.Generator().manual_seed(count))


def test_the_loss_falls_and_the_run_is_recorded(archives: Path, tmp_path: Path) -> None:
    run = RunOptions(tmp_path / "run", trainer=QUIET)
    view = {"corruption": 0, "shear": 0.1}
    record = pretrain(config(archives, epochs=12, learning_rate=1e-2, drops=[], warmup=0.05, view=view), run)
    losses = logged(run, "train_loss")
    assert len(losses) == 12
    assert np.mean(losses[-3:]) < 0.85 * losses[0]
    correlation = logged(run, "train_correlation_loss")
    assert np.mean(correlation[-3:]) < 0.3 * correlation[0]
    assert record.metrics["clips"] == 24
    assert record.metrics["train_loss"] == pytest.approx(losses[-1], rel=1e-5)
    terms = {name: logged(run, f"train_{name}_loss")[-1] for name in ("consistency", "variance", "correlation")}
    total = 5 * terms["consistency"] + terms["variance"] + 1e-3 * terms["correlation"]
    assert total == pytest.approx(losses[-1], rel=1e-4)
    assert Record.load(run.output / "result.json").config["epochs"] == 12
    assert (run.output / "curves.png").is_file()
    checkpoint = torch.load(run.output / "last.ckpt", weights_only=True)
    options = ModelOptions.from_dict(checkpoint["hyper_parameters"]["model"])
    assert (options.width, options.actions, options.modalities) == (16, (), ("joint",))
    state = {name.removeprefix("model."): value for name, value in checkpoint["state_dict"].items()}
    USDRL(options).load_state_dict({name: value for name, value in state.items() if "projectors" not in name})


@pytest.mark.parametrize("schedule", [{"drops": [1, 3]}, {"drops": [], "warmup": 0.3}])
def test_an_interrupted_run_ends_as_one_that_was_not(archives: Path, tmp_path: Path, schedule: dict) -> None:
    """Stopped after an epoch, and by an error within one; with rates that fall and that follow a cosine."""
    whole, stopped = RunOptions(tmp_path / "whole", trainer=QUIET), RunOptions(tmp_path / "stopped", trainer=QUIET)
    pretrain(config(archives, **schedule), whole)
    pretrain(config(archives, **schedule), dataclasses.replace(stopped, trainer=QUIET | {"max_epochs": 1}))
    resumed = dataclasses.replace(stopped, resume=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "make_views", fail_at(4))
        with pytest.raises(OSError, match="the power went out"):
            pretrain(config(archives, **schedule), resumed)
    assert torch.load(stopped.output / "last.ckpt", weights_only=True)["global_step"] == 6
    pretrain(config(archives, **schedule), resumed)
    assert logged(stopped, "train_loss") == logged(whole, "train_loss")
    expected = weights(whole)
    for name, value in weights(stopped).items():
        assert torch.equal(value, expected[name]), name


def fail_at(call: int) -> Callable[..., torch.Tensor]:
    """`make_views` that fails when it is called for this time, counted from 0."""
    make_views, calls = task.make_views, iter(range(call + 1))

    def views(*arguments: Any) -> torch.Tensor:
        if next(calls) == call:
            raise OSError("the power went out")
        return make_views(*arguments)

    return views


def test_seeds_decide(archives: Path, tmp_path: Path) -> None:
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run = RunOptions(tmp_path / name, trainer=QUIET)
        pretrain(config(archives, epochs=1, seed=seed), run)
        found.append(weights(run)["model.encoder.temporal.layers.0.attention.in_proj.weight"])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("views", [2, 3, 4])
@pytest.mark.parametrize("modalities", [("joint",), ("bone",), ("joint", "bone", "motion")])
def test_the_loss_is_that_of_separate_passes(views: int, modalities: tuple[str, ...]) -> None:
    """One pass a view and modality, as published; the fused one takes the mean of the modalities' embeddings."""
    module, x = module_of(modalities, views), random_views(views)
    encoder, loss = module.model.encoder, LossWeights()
    inputs = [{name: modality(view, name) for name in modalities} for view in x]

    def projections(tokens: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
        y_t, y_s = (each.amax(1) for each in tokens)
        projectors = module.projectors
        z = projectors.temporal(y_t), projectors.spatial(y_s), projectors.instance(torch.cat([y_t, y_s], 1))
        return dict(zip(DOMAINS, z, strict=True))

    own = {name: [projections(encoder({name: given[name]})) for given in inputs] for name in modalities}
    fused = [projections(encoder(given)) for given in inputs]
    groups = [*own.values(), fused] if len(modalities) > 1 else list(own.values())
    terms = [feature_decorrelation(group, loss) for group in groups]
    expected = sum(5 * each["consistency"] + each["variance"] + 1e-3 * each["correlation"] for each in terms)
    expected = expected / len(groups)
    between = sum(
        (share * (own[name][view][domain] - fused[view][domain]).square().mean()).item()
        for name in modalities
        for view in range(views)
        for domain, share in (("instance", 1.0), ("temporal", 0.5), ("spatial", 0.5))
    ) / (len(modalities) * views)
    total, found = module.loss(x)
    assert total.item() == pytest.approx(expected.item() + 5 * between, rel=1e-4)
    if len(modalities) > 1:
        assert found["modalities"].item() == pytest.approx(between, rel=1e-4)
        assert between > 0.01
    else:
        assert "modalities" not in found
        assert between == pytest.approx(0.0, abs=1e-9)


def test_modalities_with_equal_projections_agree() -> None:
    module = module_of(("joint", "bone"))
    for projector in module.projectors.children():
        torch.nn.init.zeros_(projector[-1].weight)
    _, terms = module.loss(random_views(4))
    assert terms["modalities"].item() == pytest.approx(0.0, abs=1e-12)
    assert terms["consistency"].item() == pytest.approx(0.0, abs=1e-12)


def test_a_unified_model_may_pass_some_of_its_modalities_a_step() -> None:
    module = module_of(("joint", "bone", "motion"))
    module.options["modalities_a_step"] = 1
    views = random_views(2)
    whole = module_of(("joint", "bone", "motion")).project(views)
    drawn = []
    for step in range(30):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PretrainModule, "global_step", step)
            projected = module.project(views)
        name, fused = projected
        assert fused == task.FUSED
        drawn.append(name)
        torch.testing.assert_close(projected[fused][1]["instance"], whole[fused][1]["instance"])
        torch.testing.assert_close(projected[name][1]["instance"], whole[name][1]["instance"])
    assert set(drawn) == {"joint", "bone", "motion"}


def test_all_but_the_heads_is_trained() -> None:
    module = module_of(("joint", "motion"))
    module.loss(random_views(3))[0].backward()
    without = {name for name, parameter in module.named_parameters() if parameter.grad is None}
    assert without == {f"model.{head}.{kind}" for head in ("detection", "recognition") for kind in ("weight", "bias")}


def share_of_the_loss(rank: int, directory: str) -> None:
    """One process of two: its half of each view's clips, gradients averaged as data-parallel training does."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{directory}/meeting", rank=rank, world_size=2)
    module = module_of(("joint", "bone"))
    total, _ = module.loss(random_views(3).chunk(2, 1)[rank])
    total.backward()
    gradients = {}
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            torch.distributed.all_reduce(parameter.grad)
            gradients[name] = parameter.grad / 2
    buffers = dict(module.named_buffers())
    torch.save({"loss": total.detach(), "gradients": gradients, "buffers": buffers}, f"{directory}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(share_of_the_loss, (str(tmp_path),), nprocs=2)
    module = module_of(("joint", "bone"))
    total, _ = module.loss(random_views(3))
    total.backward()
    largest = max(parameter.grad.abs().max().item() for parameter in module.parameters() if parameter.grad is not None)
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found["loss"].item() == pytest.approx(total.item(), rel=1e-5)
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                torch.testing.assert_close(
                    found["gradients"][name], parameter.grad, rtol=1e-3, atol=1e-5 * largest, msg=name
                )
        for name, buffer in module.named_buffers():
            torch.testing.assert_close(found["buffers"][name], buffer, rtol=1e-4, atol=1e-5)


def test_clips_can_be_chosen(archives: Path) -> None:
    archive, clips = clips_of(config(archives), "swings")
    assert set(archive.persons[clips.recording]) == {"p1", "p2", "p3"}
    assert len(clips_of(config(archives, data={"swings": "all"}), "swings")[1]) == 32
    archive, clips = clips_of(config(archives, without_people={"swings": ["p2", "p4"]}), "swings")
    assert set(archive.persons[clips.recording]) == {"p1", "p3"}
    archive, clips = clips_of(config(archives, window_s={"swings": 0.5}), "swings")
    assert (clips.label == -1).all()
    assert clips.length.sum() == sum(archive.length[archive.split()])
    assert len(clips) == sum(max(math.floor((length - 1) / 30 / 0.5), 1) for length in archive.length[archive.split()])


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"views": 1}, ConfigError, "views is 1, must be a whole number at least 2"),
        ({"data": {"absent": "all"}}, DatasetError, "absent holds no archive; write one with"),
        ({"data": {"swings": "views"}}, DatasetError, r"swings .* has no split 'views'; it has subjects"),
        ({"without_people": {"swings": ["p9"]}}, DatasetError, "swings has no recording of p9"),
        ({"modalities": ["joint", "angle"]}, ValueError, "modalities.1 is 'angle', must be one of joint, bone, motion"),
        ({"architecture": "gcn"}, ValueError, "architecture is 'gcn', must be one of dste, sttr"),
        ({"without_people": {"swings": ["p1", "p2", "p3", "p4"]}}, ValueError, "there is no clip to train on"),
    ],
)
def test_bad_values_are_refused_before_anything_is_written(
    archives: Path, tmp_path: Path, values: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        pretrain(config(archives, **values), RunOptions(tmp_path / "run", trainer=QUIET))
    assert not (tmp_path / "run").exists()


def test_the_command(archives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(
        f"name: tiny\ndata: {{swings: subjects}}\narchives: {archives}\nwidth: 16\nlayers: 1\npeople: 1\n"
        "batch_size: 12\nepochs: 1\n"
    )
    quiet = [word for key, value in QUIET.items() for word in (f"--trainer.{key}", str(value))]
    assert main([str(file), "--output", str(tmp_path / "run"), *quiet]) == 0
    assert "24 clips" in capsys.readouterr().out
    assert Record.load(tmp_path / "run" / "result.json").task == "pretrain"
    assert main([str(file), "--output", str(tmp_path / "other"), "--views", "1", *quiet]) == 1
    assert "tiny.yaml: views is 1, must be" in capsys.readouterr().err
