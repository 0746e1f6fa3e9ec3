"""Rewritings of a model file for TensorRT: to float16, and to the older operators that TensorRT 8 knows.

From version 10 on (always in TensorRT-RTX and from 11 on) TensorRT takes each tensor's type from the file, so that a
float16 engine needs a float16 file. Skeletons and outputs stay float32, as the engine's contract has them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from usdrl_ros.inference.onnx_graph import FLOAT, FLOAT16, Constant, Graph, GraphError, Node

_MATRIX = frozenset({"MatMul", "Gemm", "Conv", "Einsum", "Attention"})
"""Where float16 pays: operators that read weights or multiply matrices."""

_PRECISE = frozenset({"Exp", "Log", "LogSoftmax", "ReduceLogSumExp", "ReduceLogSum", "ReduceSumSquare", "ReduceL2"})
"""What float16 would overflow or make coarse; also run in float32 inside a float16 part of the graph."""

_NOT_FLOAT = frozenset(
    "Shape Size NonZero ArgMax ArgMin Equal Less LessOrEqual Greater GreaterOrEqual Not And Or Xor IsNaN IsInf".split()
)
"""Operators whose outputs are integers or truth values."""

_MOVES = frozenset("Transpose Reshape Unsqueeze Squeeze Identity Gather Slice Expand Concat Tile".split())
"""What is done to weights before they are used; they are converted first, so that no float32 copy stays in the file."""


def to_float16(data: bytes | memoryview) -> bytes:
    """Make the weights and the inner tensors of an ONNX model float16.

    From the first multiplication of matrices on, all is float16 but for what would suffer (`_PRECISE`). Before it,
    where bones and motions are differences of near positions, all stays float32: float16 has steps of 1 mm at 1 m,
    which is much of a joint's movement from frame to frame.

    Raises:
        GraphError: The graph has parts of its own (If, Loop), or a weight beyond float16's range.
    """
    graph = Graph(data)
    return _Float16(graph).run().write()


class _Float16:
    """The conversion of one graph. It knows the name of each float tensor in each precision."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._outputs = frozenset(graph.outputs)
        self._names: dict[str, dict[int, str]] = {name: {FLOAT: name} for name in graph.inputs}
        self._weights = {name for name, constant in graph.constants.items() if constant.element == FLOAT}
        self._names |= {name: {FLOAT: name} for name in self._weights}
        self._moved: dict[str, Node] = {}
        self._nodes: list[Node] = []

    def run(self) -> Graph:
        """Convert the graph."""
        for node in self._graph.nodes:
            if node.has_subgraphs:
                raise GraphError(f"operator {node.operator} '{node.name}' cannot be made float16: use precision fp32")
            self._convert(node)
        for name in self._graph.outputs:
            if name in self._names and FLOAT not in self._names[name]:
                self._cast(name, FLOAT, name)
        self._graph.nodes = self._nodes
        return self._graph

    def _convert(self, node: Node) -> None:
        floats = [name for name in node.inputs if name in self._names]
        if (
            node.operator in _MOVES
            and floats
            and self._weights.issuperset(floats)
            and node.outputs[0] not in self._outputs
        ):
            self._moved[node.outputs[0]] = node
            self._weights.add(node.outputs[0])
            self._names[node.outputs[0]] = {}
            return
        element = self._precision(node, floats)
        node.inputs = [self._in(name, element) if name in self._names else name for name in node.inputs]
        self._nodes.append(node)
        gives_float = self._gives_float(node, floats)
        for i, name in enumerate(node.outputs):
            if not name or not gives_float:
                continue
            self._names[name] = {element: name}
            if element == FLOAT16 and name in self._outputs:  # this name is for what the contract promises
                self._names[name] = {element: f"{name}/float16"}
                node.outputs[i] = f"{name}/float16"

    def _precision(self, node: Node, floats: list[str]) -> int:
        if node.operator in _PRECISE:
            return FLOAT
        if node.operator in _MATRIX and floats:
            return FLOAT16
        streams = [name for name in floats if name not in self._weights]
        if node.operator == "Cast":  # what goes in may be of any type, what comes out is as it says
            return FLOAT
        return FLOAT16 if any(FLOAT not in self._names[name] for name in streams) else FLOAT

    @staticmethod
    def _gives_float(node: Node, floats: list[str]) -> bool:
        if node.operator == "Cast":
            return node.integer("to", 0) == FLOAT
        if node.operator in ("ConstantOfShape", "RandomNormal", "RandomUniform", "EyeLike"):
            raise GraphError(f"operator {node.operator} '{node.name}' cannot be made float16: use precision fp32")
        # The type of all others is that of their data, and indices or a condition beside these are no floats.
        return bool(floats) and node.operator not in _NOT_FLOAT

    def _in(self, name: str, element: int) -> str:
        """The name of a float tensor in a precision; the conversion is added if there is none."""
        found = self._names[name]
        if element not in found:
            made = f"{name}/{'float16' if element == FLOAT16 else 'float32'}"
            if element == FLOAT and name in self._outputs:
                made = name
            if name in self._moved:
                node = self._moved[name]
                inputs = [self._in(part, element) if part in self._names else part for part in node.inputs]
                self._nodes.append(replace(node, inputs=inputs, outputs=[made], name=made))
                found[element] = made
            elif name in self._weights:
                self._graph.constants[made] = Constant.of(self._half(name))
                found[element] = made
            else:
                self._cast(name, element, made)
        return found[element]

    def _cast(self, name: str, element: int, made: str) -> None:
        source = next(iter(self._names[name].values()))
        cast = Node("Cast", [source], [made], name=f"cast/{made}")
        cast.set_integer("to", element)
        self._nodes.append(cast)
        self._names[name][element] = made

    def _half(self, name: str) -> np.ndarray:
        values = self._graph.constants[name].array()
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if np.isinf(half).any() and np.isfinite(values).all():
            raise GraphError(
                f"tensor '{name}' has the value {np.abs(values).max():.3g}, float16 ends at 65504: use precision fp32"
            )
        return half


_AXES_AS_INPUT_SINCE_18 = frozenset(
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSumSquare".split()
)


def to_opset_17(data: bytes | memoryview, *, layer_normalization: bool) -> bytes:
    """Write an ONNX model with operators of opset 17, the last that TensorRT 8.5 and 8.6 know.

    They do not refuse newer files, but silently ignore the axes that opset 18 gives to reductions as an input.

    Args:
        data: The model.
        layer_normalization: Whether to leave LayerNormalization as it is; TensorRT 8.5 lacks it.

    Raises:
        GraphError: A reduction's axes are not fixed, or are those of all of an unknown number.
    """
    graph = Graph(data)
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.operator in _AXES_AS_INPUT_SINCE_18 and graph.opset >= 18:
            _axes_to_attribute(node, graph)
        elif node.operator == "Split":
            node.attributes.pop("num_outputs", None)
        if node.operator == "LayerNormalization" and not layer_normalization:
            nodes += _spelled_out(node, graph)
        else:
            nodes.append(node)
    graph.nodes = nodes
    graph.opset = min(graph.opset, 17)
    graph.ir_version = min(graph.ir_version, 8)
    return graph.write()


def _axes_to_attribute(node: Node, graph: Graph) -> None:
    if len(node.inputs) > 1 and node.inputs[1]:
        if node.inputs[1] not in graph.constants:
            raise GraphError(f"operator {node.operator} '{node.name}' has axes that are computed, TensorRT 8 cannot")
        node.set_integers("axes", graph.constants[node.inputs[1]].array().ravel().tolist())
    elif node.integer("noop_with_empty_axes", 0):
        raise GraphError(f"operator {node.operator} '{node.name}' reduces nothing, TensorRT 8 cannot")
    node.inputs = node.inputs[:1]
    node.attributes.pop("noop_with_empty_axes", None)


def _spelled_out(node: Node, graph: Graph) -> list[Node]:
    """LayerNormalization as (x - mean) / sqrt(variance + epsilon) * scale + bias."""
    axis, made = node.integer("axis", -1), f"{node.outputs[0]}/"
    if axis >= 0 or len(node.outputs) > 1:
        raise GraphError(f"LayerNormalization '{node.name}' has an axis or outputs that TensorRT 8.5 cannot have")
    graph.constants[f"{made}epsilon"] = Constant.of(np.array(node.number("epsilon", 1e-5), np.float32))
    x, scale, *bias = node.inputs
    steps = [
        ("ReduceMean", [x], "mean"),
        ("Sub", [x, f"{made}mean"], "centred"),
        ("Mul", [f"{made}centred", f"{made}centred"], "squared"),
        ("ReduceMean", [f"{made}squared"], "variance"),
        ("Add", [f"{made}variance", f"{made}epsilon"], "shifted"),
        ("Sqrt", [f"{made}shifted"], "deviation"),
        ("Div", [f"{made}centred", f"{made}deviation"], "normal"),
        ("Mul", [f"{made}normal", scale], "scaled"),
    ]
    if bias and bias[0]:
        steps.append(("Add", [f"{made}scaled", bias[0]], "biased"))
    nodes = [Node(operator, inputs, [made + name], name=made + name) for operator, inputs, name in steps]
    for reduction in (nodes[0], nodes[3]):
        reduction.set_integers("axes", range(axis, 0))
        reduction.set_integer("keepdims", 1)
    nodes[-1].outputs = list(node.outputs)
    return nodes
