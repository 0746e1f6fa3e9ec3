"""Reading and rewriting ONNX files without the package onnx, which is the second opinion here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from usdrl_ros.inference import protobuf  # noqa: E402
from usdrl_ros.inference.factory import default_model  # noqa: E402
from usdrl_ros.inference.model_file import read_model_file  # noqa: E402
from usdrl_ros.inference.onnx_graph import Constant, Graph, GraphError, Node  # noqa: E402
from usdrl_ros.inference.onnx_rewrite import to_float16, to_opset_17  # noqa: E402
from usdrl_ros.inference.protobuf import Field, ProtobufError  # noqa: E402


def run(model: bytes, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return {o.name: v for o, v in zip(session.get_outputs(), session.run(None, inputs), strict=True)}


def make(nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], opset: int = 18, **constants: Any) -> bytes:
    """A model of nodes (operator, inputs, output, attributes)."""
    made = [helper.make_node(op, list(given), [out], **attributes) for op, given, out, attributes in nodes]
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in inputs.items()],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in outputs.items()],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()


def relative(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    return max(float(np.abs(found[k] - v).max() / np.abs(v).max()) for k, v in expected.items())


@pytest.fixture(scope="module")
def shipped() -> bytes:
    return default_model().read_bytes()


@pytest.fixture(scope="module")
def skeletons() -> np.ndarray:
    return (
        np.random.default_rng(0).normal(0, 0.5, (3, *read_model_file(default_model()).info.window_shape)).astype("f4")
    )


# The wire format


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 1 << 31, (1 << 63) - 1, -1, -(1 << 63)])
def test_whole_numbers_come_back(value: int) -> None:
    (field,) = protobuf.read(protobuf.write([protobuf.integer(3, value)]))
    assert (field.number, field.integer) == (3, value)
    assert helper.make_attribute("a", value).SerializeToString() == protobuf.write(
        [protobuf.text(1, "a"), protobuf.integer(3, value), protobuf.integer(20, 2)]
    )


def test_other_kinds_come_back() -> None:
    message = [protobuf.text(1, "ü"), protobuf.single(2, 0.1), protobuf.message(4, [protobuf.integer(1, 5)])]
    text, number, inner = protobuf.read(protobuf.write(message))
    assert text.text == "ü"
    assert number.floats == [np.float32(0.1)]
    assert [field.integer for field in protobuf.read(inner.data)] == [5]
    packed = Field(8, protobuf.BYTES, bytes([1, 0x96, 0x01]))
    assert packed.integers == [1, 150]


def test_any_bytes_are_a_message_or_are_refused(shipped: bytes) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(shipped[:400] if rng.random() < 0.5 else rng.bytes(40))
        for position in rng.integers(0, len(data), 3):
            data[position] = rng.integers(256)
        try:
            for field in protobuf.read(bytes(data)):
                field.integers if isinstance(field.value, int) else field.text
        except ProtobufError:
            continue


@pytest.mark.parametrize("data", [b"\x08", b"\x08" + b"\xff" * 10, b"\x0a\x05ab", b"\x0b", b"\x00\x00", b"\x0d\x00"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ProtobufError):
        list(protobuf.read(data))


# The graph


def test_the_shipped_model_comes_back_as_it_was(shipped: bytes, skeletons: np.ndarray) -> None:
    written = Graph(shipped).write()
    model = onnx.load_from_string(written)
    onnx.checker.check_model(model, full_check=True)
    before = onnx.load_from_string(shipped)
    assert [n.op_type for n in model.graph.node] == [n.op_type for n in before.graph.node if n.op_type != "Constant"]
    assert {p.key: p.value for p in model.metadata_props} == {p.key: p.value for p in before.metadata_props}
    assert relative(run(written, {"skeletons": skeletons}), run(shipped, {"skeletons": skeletons})) < 1e-6


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("value", numpy_helper.from_array(np.array([[1.5, 2.5]], np.float32))),
        ("value", helper.make_tensor("t", TensorProto.FLOAT, (1, 2), [1.5, 2.5])),  # listed, not raw
        ("value_floats", [1.5, 2.5]),
        ("value_float", 1.5),
    ],
)
def test_constants_of_every_kind_are_read(attribute: str, value: Any) -> None:
    node = helper.make_node("Constant", [], ["c"], **{attribute: value})
    graph = helper.make_graph(
        [node, helper.make_node("Add", ["x", "c"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2))],
    )
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()
    found = Graph(data)
    np.testing.assert_array_equal(
        found.constants["c"].array().ravel(), [1.5, 2.5][: 1 if "float" == attribute[6:] else 2]
    )
    x = np.ones((1, 2), np.float32)
    assert relative(run(found.write(), {"x": x}), run(data, {"x": x})) == 0


@pytest.mark.parametrize(("attribute", "value"), [("value_int", -3), ("value_ints", [4, -5])])
def test_whole_number_constants_are_read(attribute: str, value: Any) -> None:
    node = Node.read(helper.make_node("Constant", [], ["c"], **{attribute: value}).SerializeToString())
    assert node.operator == "Constant"
    data = make([("Add", ["x", "x"], "y", {})], {"x": [2]}, {"y": [2]})
    graph = Graph(data)
    graph.nodes.insert(0, node)
    found = Graph(graph.write()).constants["c"]
    np.testing.assert_array_equal(found.array(), value)


def test_parts_that_cannot_be_rewritten_are_reported() -> None:
    model = onnx.load_from_string(make([("Add", ["x", "w"], "y", {})], {"x": [2]}, {"y": [2]}, w=np.ones(2, "f4")))
    model.functions.append(helper.make_function("d", "f", ["a"], ["b"], [], [helper.make_opsetid("", 18)]))
    with pytest.raises(GraphError, match="local functions"):
        Graph(model.SerializeToString())
    del model.functions[:]
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].external_data.add(key="location", value="elsewhere")
    with pytest.raises(GraphError, match="lies in a file beside the model"):
        Graph(model.SerializeToString())


def test_a_tensor_with_too_few_values_is_reported() -> None:
    tensor = Constant(1, numpy_helper.from_array(np.ones(3, "f4")).SerializeToString() + b"\x08\x07")
    with pytest.raises(ProtobufError, match=r"of the shape \(3, 7\) has 3 values"):
        tensor.array()


# float16


def test_the_shipped_model_in_float16_gives_the_same(shipped: bytes, skeletons: np.ndarray) -> None:
    half = to_float16(shipped)
    model = onnx.load_from_string(half)
    onnx.checker.check_model(model, full_check=True)
    assert len(half) < 0.55 * len(shipped)
    assert {i.type.tensor_type.elem_type for i in (*model.graph.input, *model.graph.output)} == {TensorProto.FLOAT}
    large = [t for t in model.graph.initializer if np.prod(t.dims) > 64]
    assert {t.data_type for t in large} <= {TensorProto.FLOAT16, TensorProto.INT64, TensorProto.BOOL}
    expected = run(shipped, {"skeletons": skeletons})
    found = run(half, {"skeletons": skeletons})
    assert relative(found, expected) < 1e-2
    for name in ("detection", "recognition"):
        same = found[name].argmax(-1) == expected[name].argmax(-1)
        assert same.mean() > 0.99


@pytest.mark.slow
def test_the_shipped_model_in_float16_with_every_result_rounded(shipped: bytes, skeletons: np.ndarray) -> None:
    """onnx's reference computes float16 as numpy does, each sum included: worse than any GPU."""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(onnx.load_from_string(to_float16(shipped)))
    found = dict(zip(evaluator.output_names, evaluator.run(None, {"skeletons": skeletons[:1]}), strict=True))
    expected = run(shipped, {"skeletons": skeletons[:1]})
    assert relative(found, expected) < 2e-2


def test_small_differences_of_large_positions_survive_float16() -> None:
    """Motion of 0.1 mm at 3 m, where float16 has steps of 2 mm, times a matrix."""
    model = make(
        [("Sub", ["x", "far"], "d", {}), ("Mul", ["d", "scale"], "s", {}), ("MatMul", ["s", "w"], "y", {})],
        {"x": [1, 4]},
        {"y": [1, 2]},
        far=np.full(4, 3.0, "f4"),
        scale=np.float32(1000),
        w=np.ones((4, 2), "f4"),
    )
    x = np.float32(3.0) + np.array([[1e-4, 2e-4, -1e-4, 4e-4]], np.float32)
    assert relative(run(to_float16(model), {"x": x}), run(model, {"x": x})) < 1e-3
    graph = Graph(to_float16(model))
    assert [n.operator for n in graph.nodes] == ["Sub", "Mul", "Cast", "MatMul", "Cast"]


def test_what_overflows_in_float16_is_computed_in_float32() -> None:
    model = make(
        [("MatMul", ["x", "w"], "l", {}), ("Exp", ["l"], "e", {}), ("Log", ["e"], "y", {})],
        {"x": [2, 3]},
        {"y": [2, 3]},
        w=np.eye(3, dtype="f4"),
    )
    x = np.array([[20.0, -15.0, 0.5], [11.5, 3.0, 30.0]], np.float32)  # exp(11.1) is more than float16 holds
    assert relative(run(to_float16(model), {"x": x}), {"y": x}) < 1e-3


@pytest.mark.parametrize(
    "nodes",
    [
        # A weight that is transposed first, one that two precisions use, an output that others use, too.
        [("Transpose", ["w"], "t", {"perm": [1, 0]}), ("MatMul", ["x", "t"], "y", {})],
        [("Add", ["x", "b"], "a", {}), ("MatMul", ["a", "w"], "m", {}), ("Add", ["m", "b"], "y", {})],
        [("MatMul", ["x", "w"], "z", {}), ("Relu", ["z"], "r", {}), ("MatMul", ["r", "w"], "y", {})],
        [("MatMul", ["x", "w"], "z", {}), ("LogSoftmax", ["z"], "l", {}), ("MatMul", ["l", "w"], "y", {})],
        [("LogSoftmax", ["x"], "z", {}), ("MatMul", ["z", "w"], "y", {})],
        [("MatMul", ["x", "w"], "m", {}), ("Add", ["m", "x"], "y", {})],  # of both precisions
        [("MatMul", ["x", "w"], "m", {}), ("Greater", ["m", "b"], "c", {}), ("Where", ["c", "m", "x"], "y", {})],
        [("Shape", ["x"], "s", {}), ("Expand", ["b", "s"], "e", {}), ("MatMul", ["e", "w"], "y", {})],
        [("MatMul", ["x", "w"], "m", {}), ("Cast", ["m"], "c", {"to": 1}), ("Sub", ["c", "b"], "y", {})],
        [("Relu", ["x"], "y", {})],  # nothing to gain
    ],
)
def test_graphs_of_every_form_are_converted(nodes: list[Any]) -> None:
    outputs = {"y": [3, 3]} | ({"z": [3, 3]} if any(n[2] == "z" for n in nodes) else {})
    rng = np.random.default_rng(0)
    w, b = rng.normal(size=(3, 3)).astype("f4"), rng.normal(size=3).astype("f4")
    model = make(nodes, {"x": [3, 3]}, outputs, w=w, b=b)
    half = to_float16(model)
    onnx.checker.check_model(onnx.load_from_string(half), full_check=True)
    x = rng.normal(size=(3, 3)).astype("f4")
    assert relative(run(half, {"x": x}), run(model, {"x": x})) < 5e-3


def test_weights_beyond_float16_are_reported() -> None:
    model = make([("MatMul", ["x", "w"], "y", {})], {"x": [1, 1]}, {"y": [1, 1]}, w=np.full((1, 1), 7e4, "f4"))
    with pytest.raises(GraphError, match=r"tensor 'w' has the value 7e.04, float16 ends at 65504: use precision fp32"):
        to_float16(model)


def test_operators_with_graphs_are_reported() -> None:
    branch = helper.make_graph([helper.make_node("Identity", ["x"], ["b"])], "b", [], [
        helper.make_tensor_value_info("b", TensorProto.FLOAT, [1])
    ])  # fmt: skip
    node = ("If", ["c"], "y", {"then_branch": branch, "else_branch": branch})
    model = make([node], {"x": [1]}, {"y": [1]}, c=np.array(True))
    with pytest.raises(GraphError, match=r"operator If .*cannot be made float16: use precision fp32"):
        to_float16(model)


# opset 17


@pytest.mark.parametrize("layer_normalization", [True, False])
def test_the_shipped_model_for_tensorrt_8_gives_the_same(
    shipped: bytes, skeletons: np.ndarray, layer_normalization: bool
) -> None:
    rewritten = to_opset_17(shipped, layer_normalization=layer_normalization)
    model = onnx.load_from_string(rewritten)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import] == [17]
    assert ("LayerNormalization" in {n.op_type for n in model.graph.node}) <= layer_normalization
    assert relative(run(rewritten, {"skeletons": skeletons}), run(shipped, {"skeletons": skeletons})) < 1e-5


@pytest.mark.parametrize("operator", ["ReduceMax", "ReduceMean", "ReduceMin", "ReduceSumSquare"])
@pytest.mark.parametrize("axes", [[0], [-1], [0, 2]])
def test_axes_become_an_attribute(operator: str, axes: list[int]) -> None:
    model = make([(operator, ["x", "axes"], "y", {"keepdims": 1})], {"x": [2, 3, 4]}, {"y": None}, axes=np.array(axes))
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("f4")
    rewritten = to_opset_17(model, layer_normalization=True)
    (node,) = Graph(rewritten).nodes
    assert node.inputs == ["x"]
    np.testing.assert_allclose(run(rewritten, {"x": x})["y"], run(model, {"x": x})["y"])


def test_axes_that_are_computed_are_reported() -> None:
    model = make([("Shape", ["x"], "s", {}), ("ReduceMax", ["x", "s"], "y", {})], {"x": [2]}, {"y": None})
    with pytest.raises(GraphError, match=r"ReduceMax .*axes that are computed"):
        to_opset_17(model, layer_normalization=True)


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_normalization_is_spelled_out(axis: int, bias: bool) -> None:
    rng = np.random.default_rng(0)
    shape = (5,) if axis == -1 else (4, 5)
    constants: dict[str, Any] = {"scale": rng.normal(size=shape).astype("f4")}
    if bias:
        constants["b"] = rng.normal(size=shape).astype("f4")
    node = ("LayerNormalization", ["x", *constants], "y", {"axis": axis, "epsilon": 0.01})
    model = make([node], {"x": [3, 4, 5]}, {"y": [3, 4, 5]}, **constants)
    x = rng.normal(2, 3, (3, 4, 5)).astype("f4")
    axes = tuple(range(axis, 0))
    normal = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 0.01)
    expected = normal * constants["scale"] + constants.get("b", 0)
    rewritten = to_opset_17(model, layer_normalization=False)
    assert "LayerNormalization" not in {n.operator for n in Graph(rewritten).nodes}
    np.testing.assert_allclose(run(rewritten, {"x": x})["y"], expected, rtol=1e-4, atol=1e-5)


def test_an_equal_split_needs_no_number(tmp_path: Path) -> None:
    node = helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2)
    info: Callable[..., Any] = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "g",
        [info("x", TensorProto.FLOAT, [2, 6])],
        [info("a", TensorProto.FLOAT, [2, 3]), info("b", TensorProto.FLOAT, [2, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()
    x = np.arange(12, dtype="f4").reshape(2, 6)
    found = run(to_opset_17(model, layer_normalization=True), {"x": x})
    np.testing.assert_array_equal(np.concatenate([found["a"], found["b"]], 1), x)
