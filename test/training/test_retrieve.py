"""Retrieval against scikit-learn's neighbours, ties by hand, and the average of several encoders' similarities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")

from moving_arms import write_archive, write_checkpoint  # noqa: E402
from sklearn.metrics import accuracy_score, f1_score  # noqa: E402
from sklearn.metrics.pairwise import cosine_similarity  # noqa: E402
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors  # noqa: E402
from torch.nn import functional  # noqa: E402

from training.configuration import ConfigError, RunOptions  # noqa: E402
from training.data.archive import Archive  # noqa: E402
from training.data.clips import ClipDataset  # noqa: E402
from training.runs import Record  # noqa: E402
from training.tasks.encoders import make_model  # noqa: E402
from training.tasks.features import directions, embed  # noqa: E402
from training.tasks.parts import take_parts  # noqa: E402
from training.tasks.retrieve import RetrieveConfig, main, nearest, retrieve  # noqa: E402


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archives")
    write_archive(root / "arms")
    return root


def config(archives: Path, **keys: Any) -> RetrieveConfig:
    given: dict[str, Any] = {"name": "r", "data": "arms", "archives": str(archives), "width": 16}
    return RetrieveConfig(**given | keys)


def test_nearest_neighbours_are_those_of_scikit_learn() -> None:
    random = torch.Generator().manual_seed(0)
    gallery, queries = torch.randn(200, 8, generator=random), torch.randn(3000, 8, generator=random)
    labels = torch.randint(5, (200,), generator=random)
    units = [functional.normalize(x, dim=-1) for x in (gallery, queries)]
    index = NearestNeighbors(n_neighbors=1, metric="cosine").fit(gallery.numpy()).kneighbors(queries.numpy())[1]
    assert nearest(units[0], labels, units[1]).tolist() == labels[index[:, 0]].tolist()

    votes = KNeighborsClassifier(7, metric="cosine").fit(gallery.numpy(), labels.numpy()).predict_proba(queries.numpy())
    clear = np.sort(votes, 1)[:, -1] > np.sort(votes, 1)[:, -2]
    found = nearest(units[0], labels, units[1], 7).numpy()
    assert np.array_equal(found[clear], votes.argmax(1)[clear])


def test_of_actions_with_as_many_voices_the_more_similar_is_taken() -> None:
    angles = torch.deg2rad(torch.tensor([10.0, 50.0, -30.0, -40.0, 180.0]))
    gallery = torch.stack([angles.cos(), angles.sin()], -1)
    query = torch.tensor([[1.0, 0.0]])
    # Cosines: action 2 has 0.985 and 0.643, action 1 has 0.866 and 0.766, in sum a little more.
    assert nearest(gallery, torch.tensor([2, 2, 1, 1, 0]), query, 4).tolist() == [1]
    assert nearest(gallery, torch.tensor([2, 2, 1, 1, 0]), query, 1).tolist() == [2]


def test_a_vote_needs_as_many_clips() -> None:
    with pytest.raises(ConfigError, match="neighbours is 3, but there are 2"):
        nearest(torch.eye(2), torch.arange(2), torch.eye(2), 3)
    with pytest.raises(ConfigError, match="neighbours is 0"):
        RetrieveConfig(name="r", data="arms", neighbours=0)


def test_a_run_against_scikit_learn_on_the_same_features(archives: Path, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path)
    chosen = config(archives, checkpoints=(checkpoint,), also_tested=("smaller",))
    metrics = retrieve(chosen, RunOptions(tmp_path / "run")).metrics
    archive = Archive(archives / "arms")
    model = make_model(chosen, checkpoint, archive)
    parts = take_parts(archive, "")
    (train, labels), (test, truth) = (
        (x.numpy() for x in embed(model, ClipDataset([(archive, clips)], 1))) for clips in (parts.train, parts.test)
    )
    predicted = KNeighborsClassifier(1, metric="cosine").fit(train, labels).predict(test)
    assert metrics["top1"] == pytest.approx(accuracy_score(truth, predicted))
    assert metrics["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    of_p4 = archive.persons[parts.test.recording] == "p4"
    assert metrics["also"]["smaller"]["top1"] == pytest.approx(accuracy_score(truth[of_p4], predicted[of_p4]))
    assert (metrics["n_train"], metrics["n_test"]) == (24, 24)
    assert Record.load(tmp_path / "run" / "result.json").metrics == metrics


def test_similarities_of_several_encoders_are_averaged(archives: Path, tmp_path: Path) -> None:
    checkpoints = tuple(
        write_checkpoint(tmp_path / name, modalities=(name,), width=width)
        for name, width in (("joint", 16), ("bone", 32))
    )
    chosen = config(archives, checkpoints=checkpoints, width=0)
    archive = Archive(archives / "arms")
    parts = take_parts(archive, "")
    gallery, queries = directions(chosen, archive, (parts.train, parts.test), torch.device("cpu"))
    each = []
    for checkpoint in checkpoints:
        model = make_model(chosen, checkpoint, archive)
        train, test = (embed(model, ClipDataset([(archive, c)], 1))[0] for c in (parts.train, parts.test))
        each.append(cosine_similarity(test.numpy(), train.numpy()))
    np.testing.assert_allclose((queries @ gallery.T).numpy(), np.mean(each, 0), atol=1e-6)


def test_the_command_line(archives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"name: r\ndata: arms\narchives: {archives}\nwidth: 16\n", encoding="utf-8")
    assert main([str(file), "--output", str(tmp_path / "run")]) == 0
    assert "of 24 clips" in capsys.readouterr().out
    missing = tmp_path / "missing.ckpt"
    assert main([str(file), "--output", str(tmp_path / "run"), "--checkpoints", f"[{missing}]"]) == 1
    assert str(missing) in capsys.readouterr().err
