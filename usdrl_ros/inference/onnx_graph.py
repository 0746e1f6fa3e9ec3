"""An ONNX model's graph that can be changed and written back, without the package onnx (field numbers: onnx.proto).

Large weights are never copied: what is not changed stays a view of the file's bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from usdrl_ros.inference import protobuf
from usdrl_ros.inference.protobuf import Field, ProtobufError

FLOAT, INT64, FLOAT16 = 1, 7, 10
"""Element types (TensorProto.DataType)."""

_NUMPY: dict[int, np.dtype] = {FLOAT: np.dtype("<f4"), INT64: np.dtype("<i8"), FLOAT16: np.dtype("<f2")}
_ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_INTS = 1, 2, 7


class GraphError(ValueError):
    """A graph holds what cannot be read or rewritten here."""


@dataclass
class Node:
    """One operation: its type, names of what goes in and out, and attributes as they are written in the file."""

    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, bytes | memoryview] = field(default_factory=dict)
    domain: str = ""
    name: str = ""

    @classmethod
    def read(cls, data: bytes | memoryview) -> Node:
        """A node of its NodeProto."""
        node = cls("", [], [])
        for part in protobuf.read(data):
            if part.number == 1:
                node.inputs.append(part.text)
            elif part.number == 2:
                node.outputs.append(part.text)
            elif part.number == 3:
                node.name = part.text
            elif part.number == 4:
                node.operator = part.text
            elif part.number == 5:
                name = next((p.text for p in protobuf.read(part.data) if p.number == 1), "")
                node.attributes[name] = part.data
            elif part.number == 7:
                node.domain = part.text
        return node

    def write(self) -> bytes:
        """Its NodeProto."""
        fields = [protobuf.text(1, name) for name in self.inputs]
        fields += [protobuf.text(2, name) for name in self.outputs]
        fields += [protobuf.text(3, self.name), protobuf.text(4, self.operator)]
        fields += [Field(5, protobuf.BYTES, attribute) for attribute in self.attributes.values()]
        if self.domain:
            fields.append(protobuf.text(7, self.domain))
        return protobuf.write(fields)

    def integer(self, name: str, default: int) -> int:
        """An attribute that is a whole number."""
        parts = protobuf.read(self.attributes[name]) if name in self.attributes else ()
        return next((part.integer for part in parts if part.number == 3), default)

    def number(self, name: str, default: float) -> float:
        """An attribute that is a number."""
        parts = protobuf.read(self.attributes[name]) if name in self.attributes else ()
        return next((part.floats[0] for part in parts if part.number == 2), default)

    def set_integer(self, name: str, value: int) -> None:
        """Give an attribute a whole number."""
        fields = [protobuf.text(1, name), protobuf.integer(3, value), protobuf.integer(20, _ATTRIBUTE_INT)]
        self.attributes[name] = protobuf.write(fields)

    def set_integers(self, name: str, values: Iterable[int]) -> None:
        """Give an attribute a list of whole numbers."""
        fields = [protobuf.text(1, name), *(protobuf.integer(8, value) for value in values)]
        self.attributes[name] = protobuf.write([*fields, protobuf.integer(20, _ATTRIBUTE_INTS)])

    @property
    def has_subgraphs(self) -> bool:
        """Whether an attribute is a graph, as of If and Loop."""
        return any(part.number in (6, 11) for data in self.attributes.values() for part in protobuf.read(data))


@dataclass
class Constant:
    """A tensor of the file: its element type and its TensorProto."""

    element: int
    data: bytes | memoryview

    @classmethod
    def read(cls, data: bytes | memoryview) -> tuple[str, Constant]:
        """Name and tensor of a TensorProto."""
        name, element = "", 0
        for part in protobuf.read(data):
            if part.number == 2:
                element = part.integer
            elif part.number == 8:
                name = part.text
            elif part.number == 13:
                raise GraphError(f"tensor '{name}' lies in a file beside the model: export it as one file")
        return name, cls(element, data)

    @classmethod
    def of(cls, values: np.ndarray) -> Constant:
        """A tensor of an array of float32, int64 or float16."""
        element = next(key for key, kind in _NUMPY.items() if kind == values.dtype)
        fields = [protobuf.integer(1, size) for size in values.shape]
        fields += [protobuf.integer(2, element), Field(9, protobuf.BYTES, np.ascontiguousarray(values).tobytes())]
        return cls(element, protobuf.write(fields))

    def array(self) -> np.ndarray:
        """Its values; float32, int64 and float16 only."""
        if self.element not in _NUMPY:
            raise GraphError(f"a tensor has elements of the type {self.element}, expected float32, int64 or float16")
        dims: list[int] = []
        raw: bytes | memoryview = b""
        listed: list[float] = []
        for part in protobuf.read(self.data):
            if part.number == 1:
                dims += part.integers
            elif part.number == 9:
                raw = part.data
            elif part.number == 4:
                listed += part.floats
            elif part.number == 7:
                listed += part.integers
        kind = _NUMPY[self.element]
        values = np.array(listed, kind) if listed else np.frombuffer(raw, kind)
        if values.size != np.prod(dims, dtype=np.int64):
            raise ProtobufError(f"a tensor of the shape {tuple(dims)} has {values.size} values")
        return values.reshape(dims)

    def write(self, name: str) -> bytes:
        """Its TensorProto under a name."""
        kept = [part for part in protobuf.read(self.data) if part.number != 8]
        return protobuf.write([*kept, protobuf.text(8, name)])


class Graph:
    """A model's graph. `nodes` are in an order in which they can run; `constants` are all tensors of the file."""

    def __init__(self, data: bytes | memoryview) -> None:
        """Read an ONNX model.

        Raises:
            ProtobufError: It is none.
            GraphError: It has local functions, sparse tensors or tensors beside the file.
        """
        self.nodes: list[Node] = []
        self.constants: dict[str, Constant] = {}
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.opset = 0
        self.ir_version = 0
        self._model: list[Field] = []
        self._domains: list[Field] = []
        self._graph: list[Field] = []
        graph: bytes | memoryview = b""
        for part in protobuf.read(data):
            if part.number == 7:
                graph = part.data
            elif part.number == 1:
                self.ir_version = part.integer
            elif part.number == 8:
                self._read_opset(part)
            elif part.number == 25:
                raise GraphError("the model has local functions, which cannot be rewritten here")
            else:
                self._model.append(part)
        for part in protobuf.read(graph):
            self._read_part(part)

    def _read_opset(self, part: Field) -> None:
        found = {key.number: key for key in protobuf.read(part.data)}
        if 1 in found and found[1].text not in ("", "ai.onnx"):
            self._domains.append(part)
        elif 2 in found:
            self.opset = found[2].integer

    def _read_part(self, part: Field) -> None:
        if part.number == 1:
            node = Node.read(part.data)
            if node.operator == "Constant" and not node.domain:
                self.constants[node.outputs[0]] = _constant(node)
            else:
                self.nodes.append(node)
        elif part.number == 5:
            name, constant = Constant.read(part.data)
            self.constants[name] = constant
        elif part.number == 15:
            raise GraphError("the model has sparse tensors, which cannot be rewritten here")
        elif part.number != 13:  # types of inner tensors, which a rewriting would make wrong
            if part.number in (11, 12):
                names = self.inputs if part.number == 11 else self.outputs
                names.append(next((key.text for key in protobuf.read(part.data) if key.number == 1), ""))
            self._graph.append(part)

    def write(self) -> bytes:
        """The ONNX model, without constants that nothing uses."""
        used = {name for node in self.nodes for name in node.inputs} | set(self.outputs)
        graph = [Field(1, protobuf.BYTES, node.write()) for node in self.nodes]
        graph += [Field(5, protobuf.BYTES, c.write(name)) for name, c in self.constants.items() if name in used]
        opset = protobuf.message(8, [protobuf.text(1, ""), protobuf.integer(2, self.opset)])
        model = [protobuf.integer(1, self.ir_version), opset, *self._domains, *self._model]
        return protobuf.write([*model, protobuf.message(7, [*graph, *self._graph])])


def _constant(node: Node) -> Constant:
    """The tensor of a node Constant."""
    for name, data in node.attributes.items():
        for part in protobuf.read(data):
            if name == "value" and part.number == 5:
                return Constant.read(part.data)[1]
            if name == "value_float" and part.number == 2:
                return Constant.of(np.array(part.floats[0], np.float32))
            if name == "value_int" and part.number == 3:
                return Constant.of(np.array(part.integer, np.int64))
        fields = list(protobuf.read(data))
        if name == "value_floats":
            return Constant.of(np.array([v for part in fields if part.number == 7 for v in part.floats], np.float32))
        if name == "value_ints":
            return Constant.of(np.array([v for part in fields if part.number == 8 for v in part.integers], np.int64))
    raise GraphError(f"node Constant '{node.name}' has no value that can be read here")
