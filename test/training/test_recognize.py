"""Recognition: parts and shares of labels, the linear probe, fine-tuning, resuming, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")

from moving_arms import ACTIONS, write_archive, write_checkpoint  # noqa: E402

from training.checkpoints import load_checkpoint  # noqa: E402
from training.configuration import ConfigError, RunOptions  # noqa: E402
from training.data.archive import Archive, ArchiveWriter  # noqa: E402
from training.data.augmentations import NO_VARIATION, centre_crop  # noqa: E402
from training.data.clips import ClipDataset  # noqa: E402
from training.data.errors import DatasetError  # noqa: E402
from training.model.options import ModelOptions  # noqa: E402
from training.runs import Record  # noqa: E402
from training.tasks.encoders import make_model  # noqa: E402
from training.tasks.features import embed, embed_views  # noqa: E402
from training.tasks.fine_tuning import FineTuningModule  # noqa: E402
from training.tasks.linear import LinearOptions, fit_linear, is_measured  # noqa: E402
from training.tasks.parts import clip_names, draw_share, smaller_tests, take_parts  # noqa: E402
from training.tasks.recognize import RecognizeConfig, main, recognize  # noqa: E402
from training.tasks.scores import Scores, measures  # noqa: E402

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "devices": 1}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archives")
    write_archive(root / "arms")
    write_archive(root / "pairs", people=2)
    return root


def config(archives: Path, **keys: Any) -> RecognizeConfig:
    given: dict[str, Any] = {"name": "r", "data": "arms", "archives": str(archives), "width": 16}
    return RecognizeConfig(**given | keys)


def run_options(output: Path, resume: bool = False) -> RunOptions:
    return RunOptions(output, resume, QUIET)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5, 1.0])
def test_a_share_of_labels_is_drawn_class_by_class(share: float) -> None:
    counts = (3, 40, 100)
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], counts))
    chosen = draw_share(labels, share, seed=5)
    assert np.bincount(labels[chosen]).tolist() == [max(round(share * count), 1) for count in counts]
    assert np.array_equal(chosen, np.unique(chosen))


def test_a_smaller_share_is_part_of_a_larger_one_and_another_seed_draws_another() -> None:
    labels = np.repeat([0, 1], 50)
    few, more, others = draw_share(labels, 0.1, 1), draw_share(labels, 0.4, 1), draw_share(labels, 0.1, 2)
    assert set(few) <= set(more)
    assert set(few) != set(others)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_no_such_share(share: float) -> None:
    with pytest.raises(ConfigError, match="label_share"):
        draw_share(np.zeros(4), share, 0)


def test_parts_are_of_the_people_of_the_split(archives: Path) -> None:
    archive = Archive(archives / "arms")
    parts = take_parts(archive, "", ("p2",), 0.5, seed=3)
    people = [sorted(set(archive.persons[clips.recording])) for clips in (parts.train, parts.validation, parts.test)]
    assert people == [["p1"], ["p2"], ["p3", "p4"]]
    assert [np.bincount(c.label).tolist() for c in (parts.train, parts.validation, parts.test)] == [
        [2] * 3,
        [4] * 3,
        [8] * 3,
    ]
    assert clip_names(archive, parts.test)[0] == f"p3_{ACTIONS[0]}_0@0"
    mask = smaller_tests(archive, parts.test, ("smaller",))["smaller"]
    assert set(archive.persons[parts.test.recording[mask]]) == {"p4"}
    assert mask.sum() == 12


@pytest.mark.parametrize(
    ("split", "people", "message"),
    [
        ("cross_planet", (), "no split 'cross_planet'.*cross_subject"),
        ("", ("p9",), "no recording of p9"),
        ("", ("p3",), "p3 of validation_people: not in the training part"),
        ("", ("p1", "p2"), "nobody is left"),
    ],
)
def test_impossible_parts_are_refused(archives: Path, split: str, people: tuple[str, ...], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        take_parts(Archive(archives / "arms"), split, people)


def test_a_further_split_that_tests_on_other_clips_is_refused(archives: Path) -> None:
    archive = Archive(archives / "arms")
    smaller = take_parts(archive, "smaller").test
    with pytest.raises(DatasetError, match="also_tested 'cross_subject': 12 of its test recordings"):
        smaller_tests(archive, smaller, ("cross_subject",))


def separable(count: int, seed: int) -> tuple[Any, Any]:
    """Features (C, 6) around three centres, and their labels (C,)."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (count,), generator=random)
    return 4.0 * torch.eye(3, 6)[labels] + torch.randn(count, 6, generator=random), labels


def test_the_linear_probe_separates_separable_classes_only() -> None:
    features, labels = separable(600, 0)
    held_out, truth = separable(3000, 1)
    options = LinearOptions(epochs=20, batch_size=64, learning_rate=0.03, drops=(15,))
    weight, bias, curve = fit_linear(features[None], labels, 3, options, (held_out, truth))
    accuracy = ((held_out @ weight.T + bias).argmax(-1) == truth).float().mean()
    assert accuracy > 0.97
    assert curve[-1].val_accuracy == pytest.approx(float(accuracy), abs=1e-3)
    assert [line.epoch for line in curve if line.val_accuracy is not None] == list(range(1, 20, 2))
    shuffled = labels[torch.randperm(600, generator=torch.Generator().manual_seed(2))]
    weight, bias, _ = fit_linear(features[None], shuffled, 3, options)
    assert abs(float(((held_out @ weight.T + bias).argmax(-1) == truth).float().mean()) - 1 / 3) < 0.2


def test_one_step_of_the_linear_probe_is_sgd_on_the_cross_entropy() -> None:
    features, labels = separable(50, 0)
    options = LinearOptions(epochs=0, batch_size=50, learning_rate=0.1, drops=(9,))
    before, _, _ = fit_linear(features[None], labels, 3, options)
    weight, bias, _ = fit_linear(features[None], labels, 3, dataclasses.replace(options, epochs=1))
    error = (features @ before.T).softmax(-1) - torch.eye(3)[labels]
    torch.testing.assert_close(weight, before - 0.1 * error.T @ features / 50)
    torch.testing.assert_close(bias, -0.1 * error.mean(0))


def test_standardised_training_is_training_on_standardised_features() -> None:
    features, labels = separable(100, 0)
    features = 7.0 * features - 3.0
    options = LinearOptions(epochs=5, batch_size=32)
    plain = (features - features.mean(0)) / features.std(0)
    weight, bias, _ = fit_linear(plain[None], labels, 3, options)
    folded_weight, folded_bias, _ = fit_linear(
        features[None], labels, 3, dataclasses.replace(options, standardize=True)
    )
    torch.testing.assert_close(features @ folded_weight.T + folded_bias, plain @ weight.T + bias, rtol=1e-4, atol=1e-4)


def test_views_take_turns_in_the_linear_probe() -> None:
    features, labels = separable(40, 0)
    options = LinearOptions(epochs=4, batch_size=40, drops=(9,))
    views = torch.stack([features, 2.0 * features])
    both = fit_linear(views, labels, 3, options)[0]
    assert torch.equal(both, fit_linear(torch.cat([views, views]), labels, 3, options)[0])
    assert not torch.equal(both, fit_linear(features[None], labels, 3, options)[0])


@pytest.mark.parametrize(("epochs", "times"), [(1, 1), (5, 5), (10, 10), (150, 10)])
def test_validation_is_measured_about_ten_times(epochs: int, times: int) -> None:
    measured = [epoch for epoch in range(epochs) if is_measured(epoch, epochs)]
    assert len(measured) == times
    assert measured[-1] == epochs - 1


def test_measures_by_hand() -> None:
    truth, predicted = np.array([0, 0, 0, 1, 1, 3]), np.array([0, 0, 1, 1, 2, 3])
    found = measures(predicted, truth, ("a", "b", "c", "d"))
    assert found["top1"] == pytest.approx(4 / 6)
    assert found["classes"] == pytest.approx({"a": 2 / 3, "b": 1 / 2, "d": 1.0})
    # F1 of a: precision 1, recall 2/3; b: 1/2, 1/2; d: 1, 1. Of c there is no clip.
    assert found["macro_f1"] == pytest.approx((0.8 + 0.5 + 1.0) / 3)
    assert found["confusion"] == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]


def test_features_of_whole_views_are_those_of_the_centre_crop(archives: Path) -> None:
    archive = Archive(archives / "arms")
    model = make_model(config(archives), "", archive)
    dataset = ClipDataset([(archive, archive.clips())], 1)
    for observed in (1.0, 0.5):
        features, labels = embed(model, dataset, observed=observed)
        views = embed_views(model, dataset, "cpu", NO_VARIATION, 2, 0, (observed, observed))
        assert views.shape == (2, 48, 32)
        torch.testing.assert_close(views, features.expand(2, -1, -1))
        assert labels.tolist() == archive.clips().label.tolist()


def test_a_linear_run(archives: Path, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "pretrained")
    run = run_options(tmp_path / "run")
    keys = {"standardize": True, "learning_rate": 0.03, "epochs": 30, "also_tested": ("smaller",)}
    record = recognize(config(archives, checkpoint=checkpoint, validation_people=("p2",), **keys), run)
    metrics = record.metrics
    assert (metrics["n_train"], metrics["n_validation"], metrics["n_test"]) == (12, 12, 24)
    assert metrics["top1"] >= 0.9
    assert [epoch for epoch, _ in metrics["val_curve"]] == list(range(3, 31, 3))
    assert metrics["val_curve"][-1][1] == metrics["val_top1"]
    assert np.trace(metrics["confusion"]) == round(metrics["top1"] * 24)
    assert metrics["also"]["smaller"]["n_test"] == 12

    scores = Scores.load(run.output)
    np.testing.assert_allclose(scores.probabilities.sum(1), 1.0, atol=1e-6)
    assert scores.measures()["top1"] == metrics["top1"]
    assert Record.load(run.output / "result.json").metrics["top1"] == metrics["top1"]
    assert (run.output / "curves.png").is_file()

    trained, training = load_checkpoint(run.output / "last.ckpt")
    assert trained.options.actions == ACTIONS
    assert training["mode"] == "linear"
    before = load_checkpoint(Path(checkpoint))[0].encoder.state_dict()
    assert all(torch.equal(value, before[key]) for key, value in trained.encoder.state_dict().items())
    archive = Archive(archives / "arms")
    dataset = ClipDataset([(archive, take_parts(archive, "").test)], 1)
    with torch.no_grad():
        logits = trained(centre_crop(dataset.__getitems__(range(24))))[1]
    np.testing.assert_allclose(logits.softmax(-1).numpy(), scores.probabilities, atol=1e-5)


def test_the_same_seed_gives_the_same_linear_run(archives: Path, tmp_path: Path) -> None:
    keys = {"epochs": 3, "crops": 2, "observed": (0.3, 1.0)}
    found = [recognize(config(archives, **keys), run_options(tmp_path / name)).metrics for name in ("a", "b")]
    assert found[0] == found[1]
    scores = [Scores.load(tmp_path / name).probabilities for name in ("a", "b")]
    assert np.array_equal(scores[0], scores[1])


def fine_tuned(archives: Path, **keys: Any) -> RecognizeConfig:
    given = {"mode": "fine_tuned", "epochs": 4, "batch_size": 8, "learning_rate": 0.003, "validation_people": ("p2",)}
    return config(archives, **given | keys)


@pytest.mark.slow
def test_an_interrupted_run_resumes_to_the_same_weights(
    archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = fine_tuned(archives)
    whole = recognize(chosen, run_options(tmp_path / "whole"))
    step = FineTuningModule.training_step

    def interrupted(self: FineTuningModule, batch: Any, index: int) -> Any:
        if self.trainer.current_epoch == 2:
            raise ConnectionError("the power went out")
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(FineTuningModule, "training_step", interrupted)
        with pytest.raises(ConnectionError):
            recognize(chosen, run_options(tmp_path / "resumed"))
    resumed = recognize(chosen, run_options(tmp_path / "resumed", resume=True))
    weights = [load_checkpoint(tmp_path / name / "last.ckpt")[0].state_dict() for name in ("whole", "resumed")]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    assert resumed.metrics == whole.metrics
    assert [epoch for epoch, _ in whole.metrics["val_curve"]] == [1, 2, 3, 4]


@pytest.mark.slow
def test_training_from_scratch_learns_the_arms(archives: Path, tmp_path: Path) -> None:
    chosen = fine_tuned(archives, epochs=16, learning_rate=0.01, validation_people=(), drop_path=0.0)
    metrics = recognize(chosen, run_options(tmp_path)).metrics
    assert (metrics["n_train"], metrics["n_test"]) == (24, 24)
    assert "val_top1" not in metrics
    assert metrics["top1"] >= 0.9


def test_the_encoder_may_learn_more_slowly_and_only_matrices_decay(archives: Path) -> None:
    chosen = fine_tuned(archives, encoder_rate=0.1, learning_rate=0.01, weight_decay=0.2, drops=(2,))
    options = ModelOptions(actions=ACTIONS, width=16, people=1, modalities=("joint",))
    module = FineTuningModule(options.as_dict(), dataclasses.asdict(chosen))
    configured: Any = module.configure_optimizers()
    optimizer = configured[0][0]
    of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(of) == len(trained)
    for name, parameter in trained:
        group = of[id(parameter)]
        assert group["lr"] == pytest.approx(0.001 if "encoder" in name else 0.01)
        assert group["weight_decay"] == (0.2 if parameter.ndim >= 2 else 0.0)
    assert not any("detection" in name for name, _ in trained)


def test_keys_that_are_not_given_are_those_of_the_mode(archives: Path) -> None:
    linear, tuned = config(archives), config(archives, mode="fine_tuned", epochs=3)
    assert (linear.epochs, linear.batch_size, linear.learning_rate, linear.drops) == (150, 512, 0.006, (120, 140))
    assert (tuned.epochs, tuned.batch_size, tuned.drops) == (3, 64, ())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"mode": "lazy"}, "mode is 'lazy', must be one of linear, fine_tuned"),
        ({"observed": (0.0, 1.0)}, "observed"),
        ({"observed": (0.1, 1.0)}, "only with crops"),
    ],
)
def test_values_out_of_range_are_refused(archives: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(archives, **keys)


@pytest.mark.parametrize(
    ("data", "of", "keys", "message"),
    [
        ("arms", {"width": 32}, {}, "last.ckpt has width 32, the configuration says 16"),
        (
            "arms",
            {"architecture": "sttr"},
            {"architecture": "dste"},
            "has architecture sttr, the configuration says dste",
        ),
        ("arms", {}, {"heads": 2}, "last.ckpt has heads 1, the configuration says 2"),
        ("arms", {"layers": 1}, {"layers": 2}, "last.ckpt has layers 1, the configuration says 2"),
        ("arms", {"joints": 17}, {}, "last.ckpt is for 17 joints, .* has 25"),
        ("arms", {}, {"modalities": ("bone",)}, "last.ckpt has no modality bone; it has joint"),
        ("arms", {}, {"people": 2}, "last.ckpt has people 1, the configuration says 2"),
        ("pairs", {}, {}, "last.ckpt is for 1 people, .* has 2: give people: 1"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    archives: Path, tmp_path: Path, data: str, of: dict[str, Any], keys: dict[str, Any], message: str
) -> None:
    checkpoint = write_checkpoint(tmp_path, **of)
    with pytest.raises(ConfigError, match=message):
        recognize(config(archives, data=data, checkpoint=checkpoint, **keys), run_options(tmp_path / "run"))


def test_an_encoder_begins_another_task(archives: Path, tmp_path: Path) -> None:
    """Other actions, fewer modalities, causal attention, another drop path: the weights are the checkpoint's."""
    path = write_checkpoint(tmp_path, modalities=("joint", "bone", "motion"))
    chosen = config(archives, modalities=("motion",), attention="causal", checkpoint=path)
    model = make_model(chosen, path, Archive(archives / "arms"), drop_path=0.0)
    assert (model.options.modalities, model.options.attention) == (("motion",), "causal")
    expected = load_checkpoint(Path(path))[0].encoder.state_dict()
    found = model.encoder.state_dict()
    assert "temporal_embedding.motion.0.weight" in found
    assert not any(".bone." in key for key in found)
    assert all(torch.equal(value, expected[key]) for key, value in found.items())


def test_transfer_between_one_and_two_people(archives: Path, tmp_path: Path) -> None:
    pairs, arms = Archive(archives / "pairs"), Archive(archives / "arms")
    alone = make_model(config(archives, data="pairs", people=1), write_checkpoint(tmp_path / "one"), pairs)
    main_people = tmp_path / "main"
    with ArchiveWriter(main_people, name="main", actions=ACTIONS) as writer:
        for index in range(len(pairs)):
            stamps, joints, _ = pairs.recording_of(index)
            recording = dataclasses.replace(_recording(pairs, index), joints={"person_1": joints[:, 0]}, stamps=stamps)
            writer.add(recording)
    found = embed(alone, ClipDataset([(pairs, pairs.clips())], 1))[0]
    main_archive = Archive(main_people)
    torch.testing.assert_close(found, embed(alone, ClipDataset([(main_archive, main_archive.clips())], 1))[0])

    two = make_model(config(archives), write_checkpoint(tmp_path / "two", people=2), arms)
    assert two.options.people == 2
    with torch.no_grad():
        batch = ClipDataset([(arms, arms.clips())], 1).__getitems__([0, 1])
        padded = torch.cat([centre_crop(batch), torch.zeros(2, 3, 64, 25, 1)], -1)
        expected = two(padded)[2]
    torch.testing.assert_close(embed(two, ClipDataset([(arms, arms.clips())], 2))[0][:2], expected)


def _recording(archive: Archive, index: int) -> Any:
    from usdrl_ros.recording import Recording, Segment

    stamps, joints, segments = archive.recording_of(index)
    kept = tuple(Segment(s["start"], s["end"], archive.actions[s["action"]]) for s in segments)
    return Recording(str(archive.names[index]), "ntu_25", stamps, {"person_1": joints[:, 0]}, kept)


def test_part_of_a_unified_encoder(archives: Path, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path, modalities=("joint", "bone", "motion"))
    archive = Archive(archives / "arms")
    model = make_model(config(archives, modalities=("bone",)), checkpoint, archive)
    whole = load_checkpoint(Path(checkpoint))[0].encoder
    assert model.encoder.modalities == ("bone",)
    x = torch.randn(2, 3, 64, 25, 1)
    with torch.no_grad():
        for own, expected in zip(model.encoder({"bone": x}), whole({"bone": x}), strict=True):
            torch.testing.assert_close(own, expected)


def test_the_command_line(archives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"name: r\ndata: arms\narchives: {archives}\nwidth: 16\nepochs: 2\n", encoding="utf-8")
    output = tmp_path / "run"
    assert main([str(file), "--output", str(output), "--label-share", "0.5"]) == 0
    assert "of 24 clips" in capsys.readouterr().out
    assert Record.load(output / "result.json").metrics["n_train"] == 12
    assert main([str(file), "--output", str(output), "--split", "cross_planet"]) == 1
    assert "no split 'cross_planet'" in capsys.readouterr().err
    assert main([str(file), "--output", str(output), "--checkpoint", str(file)]) == 1
    assert str(file) in capsys.readouterr().err


def test_a_run_is_not_resumed_with_another_configuration(archives: Path, tmp_path: Path) -> None:
    recognize(fine_tuned(archives, epochs=1), run_options(tmp_path))
    with pytest.raises(ConfigError, match=r"last.ckpt was started with epochs: 1, the configuration has 2"):
        recognize(fine_tuned(archives, epochs=2), run_options(tmp_path, resume=True))
