"""The benchmark itself: turns, networks that agree, floors, scenes, reasons for what is left out."""

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

from bench import engines, inference, message_to_event, networks, peer, steps, streaming  # noqa: E402
from bench.timing import Times, processor, take_turns  # noqa: E402
from usdrl_ros.inference.factory import default_model, load_engine  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> networks.Network:
    return networks.make(16, tmp_path_factory.mktemp("network"))


def test_percentiles() -> None:
    times = Times.of([0.001 * i for i in range(101)])
    assert (times.p50_ms, times.p99_ms, times.runs) == (pytest.approx(50), pytest.approx(99), 101)
    assert times.cpu_ms is None
    assert Times.of([0.5, 0.4], [0.003, 0.002]).cpu_ms == pytest.approx(2.0)


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
    assert all(times.cpu_ms is not None and times.cpu_ms < times.p50_ms for times in found.values())  # they sleep
    assert all(times.p50_ms >= least for times, least in zip(found.values(), (50, 20), strict=True))


def test_all_ways_of_a_network_agree(network: networks.Network) -> None:
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


def test_a_step_is_the_engine_and_the_rest() -> None:
    with load_engine(default_model()) as engine:
        row = steps.measure(engine, 2, 4.0 + engine.info.window_s)
    assert row.step.runs >= 20
    assert 0 < row.observe.p50_ms < row.rest.p50_ms < row.step.p50_ms
    assert row.engine.p50_ms < row.step.p50_ms


def test_the_command_writes_tables_and_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "new" / "bench.json"
    arguments = ["--parts", "engines", "--widths", "16", "--batches", "1", "--seconds", "0.1", "--no-compile"]
    assert inference.main([*arguments, "--engines", "onnxruntime fp32", "tensorrt", "--output", str(output)]) == 0
    found = json.loads(output.read_text())
    ways = [row["way"] for row in found["inference"]]
    assert [networks.EAGER, networks.FOLDED, networks.AUTHORS, "onnxruntime fp32"] == ways[:4]
    assert found["processor"] == processor()
    said = capsys.readouterr().out
    assert "onnxruntime fp32" in said
    if "tensorrt fp16" in found["skipped"]:  # no GPU here: it says so
        assert "tensorrt fp16" in said


def row(way: str, p50_ms: float) -> engines.Row:
    return engines.Row(16, 1, way, Times(p50_ms, p50_ms, 3), {})


@pytest.mark.parametrize(
    ("least", "steady", "floor_ms", "reason"),
    [
        (2.0, True, 2.0, "by operations"),
        (3.5, True, None, "not valid: 3.50 ms is above what was measured"),
        (2.0, False, None, "not valid: the machine was busy while its rate was measured"),
        (None, True, None, ""),
    ],
)
def test_floors_are_left_out_where_they_are_not_valid(
    least: float | None, steady: bool, floor_ms: float | None, reason: str
) -> None:
    reasons = "by operations" if least is not None else ""
    (found,) = engines.with_floors([row("a", 3.0)], lambda row: (least, reasons), steady)
    assert (found.floor_ms, found.reason) == (floor_ms, reason)


def test_a_product_rate_is_steady_only_if_its_best_moments_agree() -> None:
    rate = networks.ProductRate(64, 64)
    rate.measure(3)
    assert rate.best == rate.rates[0] > 1e6
    assert not rate.steady  # one moment proves nothing
    for rates, steady in (([1.0, 0.97], True), ([1.0, 0.5, 0.96], True), ([1.0, 0.9], False)):
        rate.rates = rates
        assert (rate.steady, rate.best) == (steady, 1.0)


def test_a_compiled_network_is_the_same_and_failures_are_one_line(
    network: networks.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict] = []

    def compile_it(module, **options):
        calls.append(options)
        return module

    monkeypatch.setattr(torch, "compile", compile_it)
    assert list(network.compiled(engines.windows(2))) == [networks.COMPILED]
    assert calls == [{"mode": "default", "dynamic": False}]

    def broken(module, **options):
        def run(x):
            raise ValueError("no C++ compiler\nlong story")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(RuntimeError, match=r"^torch.compile fails here: no C\+\+ compiler$"):
        network.compiled(engines.windows(1))


def test_the_peer_has_its_published_size_and_runs_the_same_in_openvino(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    path = tmp_path / "peer.onnx"
    network = peer.export_peer(path, 60)
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(1.39e6, rel=0.02)
    clips = engines.windows(3, people=1)
    with torch.inference_mode():
        expected = network(torch.from_numpy(clips)).numpy()
    np.testing.assert_allclose(peer.open_peer(path, 1)(clips), expected, atol=1e-4 * float(np.abs(expected).max()))


def test_the_graph_convolution_is_the_sum_over_its_three_neighbourhoods() -> None:
    convolution = peer.GraphConvolution(4, 4).eval()
    x = torch.randn(2, 4, 5, 25)
    matrices, parts = convolution.adjacency, convolution.convolution(x).chunk(3, 1)
    mixed = sum(part @ matrix for part, matrix in zip(parts, matrices, strict=True))
    expected = torch.relu(convolution.norm(mixed) + x)
    torch.testing.assert_close(convolution(x), expected)
    itself, parent, children = peer.adjacency()
    assert torch.equal(itself, torch.eye(25))
    assert [parent[:, joint].nonzero().flatten().tolist() for joint in (3, 20)] == [[2], []]  # the head's; the root's
    assert children.sum(0)[20] == pytest.approx(1.0)  # the mean over its children


def test_equal_frames_of_steps_are_counted() -> None:
    with load_engine(default_model()) as engine:
        info = engine.info
    rng = np.random.default_rng(0)
    long = rng.normal(0, 1, (3, info.frames + 4, 25, info.people)).astype(np.float32)
    hop_s = info.window_s / (info.frames - 1)
    windows = [long[None, :, start : start + info.frames] for start in range(5)]
    assert streaming.compare_steps(windows, info, hop_s) == (0.0, 1.0)
    turned = [window * sign for window, sign in zip(windows, (1, -1, 1, -1, 1), strict=True)]
    change, equal = streaming.compare_steps(turned, info, hop_s)
    assert change == pytest.approx(2 * 0.6745, rel=0.05)  # twice the median of a normal's size
    assert equal == 0.0


def test_without_a_built_package_the_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rclpy", None)
    with pytest.raises(
        message_to_event.UnavailableError, match=r"the built package is missing \(.*rclpy.*\): run `make bench`"
    ):
        message_to_event.measure(default_model(), "auto", 1, 1, 1.0, print)
