"""Training a tiny model on acted takes in UTKinect's format: it learns, resumes exactly, and says what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")

from training import fit as fit_module  # noqa: E402
from training.checkpoints import load_checkpoint  # noqa: E402
from training.configuration import load  # noqa: E402
from training.curves import read_metrics  # noqa: E402
from training.data.sets import read_all  # noqa: E402
from training.data.utkinect import ACTIONS, LABELS, NAME  # noqa: E402
from training.data.windows import IGNORE, NO_VARIATION, WindowDataset, tracks  # noqa: E402
from training.fit import FitConfig, FitModule, fit, main  # noqa: E402
from training.model.options import ModelOptions  # noqa: E402
from usdrl_ros.demo.actor import play  # noqa: E402

CONFIG = FitConfig(
    name="tiny",
    modalities=("joint",),
    width=16,
    layers=1,
    drop_path=0.0,
    train_people=("s01", "s02"),
    held_out_people=("s02",),
    windows_per_epoch=32,
    batch_size=8,
    epochs=2,
    learning_rate=1e-2,
)
TRAINER = {"accelerator": "cpu", "limit_val_batches": 1, "enable_model_summary": False}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people's takes, written as UTKinect's files are."""
    root = tmp_path_factory.mktemp("utkinect")
    (root / "joints").mkdir()
    label_of = {action: label for label, action in LABELS.items()}
    labels = []
    for seed, person in enumerate(("s01", "s02")):
        take = play(["wave", "throw"], seed=seed, rate_hz=15.0, layout="kinect_v1_20")
        frames = np.round(take.stamps * 30)
        rows = np.column_stack([frames, take.joints["person_1"].reshape(len(frames), -1)])
        np.savetxt(root / "joints" / f"joints_{person}_e01.txt", rows, fmt="%.6g")
        labels.append(f"{person}_e01")
        labels += [f"{label_of[s.action]}: {round(s.start * 30)} {round(s.end * 30)}" for s in take.segments]
    (root / "joints" / "actionLabel_modified.txt").write_text("\n".join(labels))
    return root


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(CONFIG, root, tmp_path_factory.mktemp("runs") / "tiny", resume=False, trainer_options=TRAINER)


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(checkpoint)[0].state_dict()


def test_the_checkpoint_says_how_it_was_trained(trained: Path) -> None:
    model, training = load_checkpoint(trained)
    assert model.options.actions == ACTIONS
    assert (model.options.width, model.options.modalities) == (16, ("joint",))
    assert training["people"] == ["s01"]
    assert (training["name"], training["epochs"], training["window_s"]) == ("tiny", 2, 5.0)
    assert not model.training
    metrics = read_metrics(trained.parent / "metrics.csv")
    assert [epoch for epoch, _ in metrics["train_detection_loss"]] == [0, 1]
    assert all(value > 0 for _, value in metrics["val_recognition_loss"])
    assert (trained.parent / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_given_weights_are_where_it_begins(root: Path, trained: Path, tmp_path: Path) -> None:
    standing = replace(CONFIG, epochs=1, learning_rate=1e-9)
    begun = weights(fit(standing, root, tmp_path / "tiny", init=trained, trainer_options=TRAINER))
    for key, value in weights(trained).items():
        torch.testing.assert_close(begun[key], value, rtol=0, atol=1e-6, msg=key)
    with pytest.raises(ValueError, match="holds another model than tiny"):
        fit(replace(CONFIG, width=8), root, tmp_path / "other", init=trained, trainer_options=TRAINER)


def test_a_run_that_was_cut_off_resumes_to_the_same_weights(
    root: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(module: FitModule) -> None:
        if module.current_epoch == 1:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(FitModule, "on_train_epoch_start", cut_off, raising=False)
        with pytest.raises(RuntimeError, match="power cut"):
            fit(CONFIG, root, tmp_path / "tiny", resume=False, trainer_options=TRAINER)
    halfway = weights(tmp_path / "tiny" / "last.ckpt")
    resumed = weights(fit(CONFIG, root, tmp_path / "tiny", resume=True, trainer_options=TRAINER))
    expected = weights(trained)
    assert any(not torch.equal(halfway[key], expected[key]) for key in expected)
    for key, value in expected.items():
        torch.testing.assert_close(resumed[key], value, rtol=1e-4, atol=1e-6, msg=key)


def test_other_epochs_leave_the_held_out_people_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = tmp_path / "x.yaml"
    configuration.write_text("name: x\nheld_out_people: [s09]\nepochs: 24\n")
    used: list[FitConfig] = []
    monkeypatch.setattr(fit_module, "fit", lambda config, *_, **__: used.append(config) or tmp_path)
    assert main([str(configuration), "--root", str(tmp_path), "--epochs", "3"]) == 0
    assert main([str(configuration), "--root", str(tmp_path), "--hold-out", "s01", "s03"]) == 0
    assert [(config.epochs, config.held_out_people) for config in used] == [(3, ("s09",)), (24, ("s01", "s03"))]


def test_it_learns(root: Path) -> None:
    """Shown the same few windows again and again, the network comes to know their labels."""
    torch.manual_seed(0)
    module = FitModule(ModelOptions(ACTIONS, ("joint",), width=16, layers=1).as_dict(), {"label_smoothing": 0.0})
    found = tracks(list(read_all(NAME, root)), ACTIONS)
    dataset = WindowDataset(found, window_s=5.0, length=16, variation=NO_VARIATION)
    batch = torch.utils.data.default_collate([dataset[i] for i in range(16)])
    optimizer = torch.optim.AdamW(module.model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        detection_loss, recognition_loss, detection, recognition = module._losses(batch, 0.0)
        optimizer.zero_grad()
        (detection_loss + recognition_loss).backward()
        optimizer.step()
        losses.append((detection_loss + recognition_loss).item())
    assert losses[0] == pytest.approx(np.log(11) + np.log(10), abs=0.5)  # knows nothing
    assert losses[-1] < 0.3 * losses[0]
    labelled = batch[1] != IGNORE
    assert (detection.argmax(-1) == batch[1])[labelled].float().mean() > 0.9
    assert (recognition.argmax(-1) == batch[2])[batch[2] != IGNORE].float().mean() > 0.9


def test_losses_by_hand(root: Path) -> None:
    """What is not labelled does not count, and nothing labelled costs nothing."""
    module = FitModule(ModelOptions(("a", "b"), ("joint",), width=16, layers=1).as_dict(), {}).eval()
    skeletons = torch.randn(3, 3, 64, 25, 2)
    labels = torch.randint(0, 3, (3, 64))
    labels[1] = IGNORE
    detection_loss, recognition_loss, detection, recognition = module._losses(
        (skeletons, labels, torch.tensor([1, IGNORE, 0])), 0.0
    )
    kept = [(i, t) for i in (0, 2) for t in range(64)]
    by_frame = [-detection[i, t].log_softmax(0)[labels[i, t]].item() for i, t in kept]
    assert detection_loss.item() == pytest.approx(np.mean(by_frame), rel=1e-5)
    by_clip = [-recognition[i].log_softmax(0)[k].item() for i, k in ((0, 1), (2, 0))]
    assert recognition_loss.item() == pytest.approx(np.mean(by_clip), rel=1e-5)
    none = (skeletons, torch.full((3, 64), IGNORE), torch.full((3,), IGNORE))
    assert [loss.item() for loss in module._losses(none, 0.1)[:2]] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot read the configuration"),
        ("name: [", "cannot read the configuration"),
        ("epochs: 3", "key name is missing"),
        ("name: x\nlearn_rate: 3", "unknown key learn_rate"),
        ("- 1", "expected a mapping"),
    ],
)
def test_a_wrong_configuration_is_told(
    content: str | None, fault: str, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=fault):
        load(FitConfig, path)
    assert main([str(path), "--root", str(root)]) == 1
    assert capsys.readouterr().err.startswith("training.fit: ")


def test_what_is_missing_is_told(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "x.yaml"
    config.write_text("name: x\nepochs: 1\nwidth: 16")
    assert main([str(config), "--root", str(tmp_path), "--output", str(tmp_path / "out")]) == 1
    assert "actionLabel_modified.txt is not there" in capsys.readouterr().err
    assert main([str(config), "--root", str(root), "--output", str(tmp_path / "out"), "--resume"]) == 1
    assert "nothing to resume" in capsys.readouterr().err
    assert main([str(config), "--root", str(root), "--output", str(tmp_path / "out"), "--hold-out", "s44"]) == 1
    assert "no recording of s44" in capsys.readouterr().err


def test_the_shipped_configurations_load() -> None:
    paths = sorted(Path(fit_module.__file__).with_name("configs").glob("utkinect*.yaml"))
    assert paths
    for path in paths:
        assert load(FitConfig, path).name
