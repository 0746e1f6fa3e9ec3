"""The measuring itself: turns, networks that are the same, scenes, what is told when something is absent."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

from bench import engines, inference, message_to_event, networks, steps  # noqa: E402
from bench.timing import Times, processor, take_turns  # noqa: E402
from usdrl_ros.inference.factory import default_model, load_engine  # noqa: E402


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> networks.Network:
    return networks.make(16, tmp_path_factory.mktemp("network"))


def test_percentiles() -> None:
    times = Times.of([0.001 * i for i in range(101)])
    assert (times.p50_ms, times.p99_ms, times.runs) == (pytest.approx(50), pytest.approx(99), 101)


def test_ways_take_turns() -> None:
    calls: list[str] = []

    def way(name: str, seconds: float) -> None:
        calls.append(name)
        time.sleep(seconds)

    found = take_turns({"a": lambda: way("a", 0.05), "b": lambda: way("b", 0.02)}, 0.2)
    assert calls[:2] == ["a", "b"]  # the first run of all is not counted
    assert all(calls.count(name) == times.runs + 1 for name, times in found.items())
    changes = sum(x != y for x, y in pairwise(calls))
    assert changes >= 3
    assert all(times.p50_ms >= least for times, least in zip(found.values(), (50, 20), strict=True))


def test_all_ways_of_a_network_give_the_same(network: networks.Network) -> None:
    x = engines.windows(3)
    eager, folded = (network.modules[name] for name in (networks.EAGER, networks.FOLDED))
    with torch.no_grad():
        expected, of_folded = eager(torch.from_numpy(x)), folded(torch.from_numpy(x))
    with load_engine(network.path, engine="onnxruntime") as engine:
        found = engine.infer(x)
    for a, b, c in zip((found.detection, found.recognition, found.embedding), expected, of_folded, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * float(b.abs().max()))
        np.testing.assert_allclose(c, b, atol=1e-5 * float(b.abs().max()))


def test_operations_are_counted(network: networks.Network) -> None:
    """H=16: a token costs 17 H^2 multiplications and additions a layer, and what does not grow with H^2."""
    wide = 2 * 2 * (64 + 50) * 17 * 16 * 16
    attention = sum(2 * 2 * 2 * (3 + 1) * tokens * tokens * 16 for tokens in (64, 50))
    embedding = 2 * sum(tokens * 3 * (size * 16 + 16 * 16) for tokens, size in ((64, 150), (50, 192)))
    assert network.flops == pytest.approx(wide + attention + embedding, rel=0.35)
    assert network.flops > wide + attention + embedding


def test_agreement_with_itself_and_with_another(network: networks.Network) -> None:
    windows = engines.windows(5)
    with load_engine(network.path, engine="onnxruntime") as one, load_engine(network.path, engine="onnxruntime") as two:
        same = engines.agreement(one, two, windows, batch=2)
        assert (same.windows, same.recognition, same.detection, same.difference) == (5, 1.0, 1.0, 0.0)

        class Wrong(steps.Stopwatch):
            def infer(self, skeletons):
                found = super().infer(skeletons)
                found.recognition[0] = -found.recognition[0]
                return found

        assert engines.agreement(Wrong(one), two, windows, batch=5).recognition == pytest.approx(0.8)


def test_a_scene_has_its_people_and_its_rate() -> None:
    messages = list(steps.scene(6, 2.0))
    assert len(messages) == 60
    assert {round(b[0] - a[0], -3) for a, b in pairwise(messages)} <= {33333000, 33334000}
    for _, people in messages:
        assert [person.person_id for person in people] == [f"person_{i}" for i in range(6)]
        assert not np.array_equal(people[0].joints, people[4].joints, equal_nan=True)


def test_the_step_is_the_engine_and_the_rest() -> None:
    with load_engine(default_model()) as engine:
        row = steps.measure(engine, 2, 4.0 + engine.info.window_s)
    assert row.step.runs >= 20
    assert 0 < row.observe.p50_ms < row.rest.p50_ms < row.step.p50_ms
    assert row.engine.p50_ms < row.step.p50_ms


def test_the_command_writes_tables_and_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "new" / "bench.json"
    arguments = ["--parts", "engines", "--widths", "16", "--batches", "1", "--seconds", "0.1"]
    assert inference.main([*arguments, "--engines", "onnxruntime fp32", "tensorrt", "--output", str(output)]) == 0
    found = json.loads(output.read_text())
    ways = [row["way"] for row in found["inference"]]
    assert [networks.EAGER, networks.FOLDED, networks.AUTHORS, "onnxruntime fp32"] == ways[:4]
    assert found["processor"] == processor()
    said = capsys.readouterr().out
    assert "onnxruntime fp32" in said
    if "tensorrt fp16" in found["skipped"]:  # no GPU here: it says so
        assert "tensorrt fp16" in said


def test_without_a_built_package_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rclpy", None)
    with pytest.raises(
        message_to_event.UnavailableError, match=r"the built package is missing \(.*rclpy.*\): run `make bench`"
    ):
        message_to_event.measure(default_model(), "auto", 1, 1, 1.0, print)
