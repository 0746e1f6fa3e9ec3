"""Parameter files and command lines are read as ROS reads them: rclpy itself is the reference."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from usdrl_ros.parameter_file import ParameterFileError, parameters_in_arguments, parameters_of_node

HEAD = "perception:\n  ros__parameters:\n    "

VALUES = [
    "on", "On", "y", "NO", "off", "'on'", '"on"', "null", "~", "tRue", "=", "''",
    "0", "-0", "+5", "010", "08", "0x1F", "1_000", "12345678901234567890", "2001-01-01", "1:30", "0o17",
    "1e3", "5.", ".5", ".inf", "-.Inf", ".nan", "nan", "inf", "-1.5E-3",
    "!!str 12", "!!str on", "|\n      on", ">\n      text",
    "[1, 2]", "[on, off]", "[a, 'b']", "[1.0, 2.0]",
    "{b: 1, c: {d: e}}",
]  # fmt: skip
FILES = {
    "with a slash": "/perception:\n  ros__parameters:\n    a: 1",
    "all nodes, then this": "/**:\n  ros__parameters:\n    a: 1\nperception:\n  ros__parameters:\n    a: 2",
    "this, then all nodes": "perception:\n  ros__parameters:\n    a: 2\n    b: 3\n/**:\n  ros__parameters:\n    a: 1",
    "one level": "/*:\n  ros__parameters:\n    a: 1",
    "any namespace": "/**/perception:\n  ros__parameters:\n    a: 1",
    "nested": "robot1:\n  perception:\n    ros__parameters:\n      a: 1",
    "full name": "/robot1/perception:\n  ros__parameters:\n    a: 1",
    "all of a namespace": "/robot1/**:\n  ros__parameters:\n    a: 1",
    "namespace without a slash": "robot1/perception:\n  ros__parameters:\n    a: 1",
    "twice": "/perception:\n  ros__parameters:\n    a: 1\nperception:\n  ros__parameters:\n    b: 2",
    "another node": "camera:\n  ros__parameters:\n    a: 1\nperception:\n  ros__parameters:\n    b: 2",
    "empty": "",
    "no parameters": "perception:\n  ros__parameters: {}",
    "two documents": "perception:\n  ros__parameters:\n    a: 1\n---\nperception:\n  ros__parameters:\n    a: 2",
    "nested in all": "/**:\n  perception:\n    ros__parameters:\n      a: 1",
    "dots": "perception:\n  ros__parameters:\n    a.b: 3\n    c: {d: 4}",
}
REFUSED = {
    "an alias": HEAD + "a: &x 3\n    b: *x",
    "no value": HEAD + "a:",
    "several types": HEAD + "a: [1, x]",
    "no node": "ros__parameters:\n  a: 1",
    "outside": "perception:\n  a: 1",
    "a scalar": "perception: 3",
    "no section": "perception:\n  ros__parameters:\n",
    "a list": "- a",
    "part of a name": "perc*:\n  ros__parameters:\n    a: 1",
    "two slashes": "/robot1:\n  /perception:\n    ros__parameters:\n      a: 1",
    "broken": "perception: [",
}


def by_ros(arguments: list[str], namespace: str = "/") -> dict | None:
    """What rclpy gives a node, None where it refuses to start."""
    rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    context = rclpy.Context()
    try:
        rclpy.init(args=["--ros-args", *arguments], context=context)
    except Exception:  # rclpy's errors on arguments have no common base but Exception
        return None
    try:
        node = rclpy.create_node("perception", namespace=namespace, context=context, start_parameter_services=False)
        given = {name: parameter.value for name, parameter in node._parameter_overrides.items()}
        node.destroy_node()
        return given
    finally:
        rclpy.shutdown(context=context)


def same(ours: dict, theirs: dict) -> bool:
    def plain(value):
        return "nan" if isinstance(value, float) and math.isnan(value) else (type(value), value)

    values = {name: given.value for name, given in ours.items()}
    listed = {name: list(value) if not isinstance(value, str | bool | int | float) else value
              for name, value in theirs.items()}  # fmt: skip
    return {name: plain(value) for name, value in values.items()} == {
        name: plain(value) for name, value in listed.items()
    }


@pytest.mark.parametrize("value", VALUES)
def test_values_have_the_types_that_ros_gives_them(domain, tmp_path, value):
    path = tmp_path / "p.yaml"
    path.write_text(f"{HEAD}a: {value}\n")
    ours, theirs = parameters_of_node(path), by_ros(["--params-file", str(path)])
    assert same(ours, theirs), (ours, theirs)
    if "\n" not in value and not value.startswith(("{", "!")):
        assert same(parameters_in_arguments(["--ros-args", "-p", f"a:={value}"], "/perception"), theirs)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("namespace", ["", "/robot1"])
def test_names_of_nodes_match_as_in_ros(domain, tmp_path, name, namespace):
    path = tmp_path / "p.yaml"
    path.write_text(FILES[name])
    theirs = by_ros(["--params-file", str(path)], namespace or "/")
    assert same(parameters_of_node(path, f"{namespace}/perception"), theirs)


@pytest.mark.parametrize("name", REFUSED)
def test_what_ros_refuses_is_refused_in_one_line(domain, tmp_path, name):
    path = tmp_path / "p.yaml"
    path.write_text(REFUSED[name])
    assert by_ros(["--params-file", str(path)]) is None
    with pytest.raises(ParameterFileError, match=f"^{path}: is no") as caught:
        parameters_of_node(path)
    assert "\n" not in str(caught.value)


def test_the_text_is_kept_beside_the_guess(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(HEAD + "a: on\n    b: 007\n    c: [on, off]\n    d: 1e3\n")
    texts = {name: given.text for name, given in parameters_of_node(path).items()}
    assert texts == {"a": "on", "b": "007", "c": ["on", "off"], "d": "1e3"}


def test_a_name_without_its_namespace_finds_the_one_node(tmp_path):
    path = tmp_path / "p.yaml"
    for pattern in ("robot1/perception", "/robot1/**", "/robot1/perception", "/**", "perception", "/robot1/*"):
        path.write_text(f"{pattern}:\n  ros__parameters:\n    a: 1\ncamera:\n  ros__parameters:\n    a: 2\n")
        assert parameters_of_node(path)["a"].value == 1
    path.write_text("/r1/perception:\n  ros__parameters: {a: 1}\n/r2/perception:\n  ros__parameters: {a: 2}\n")
    with pytest.raises(ParameterFileError, match="has parameters of /r1/perception and /r2/perception: name the node"):
        parameters_of_node(path)
    assert parameters_of_node(path, "/r2/perception")["a"].value == 2


def test_later_arguments_replace_earlier_ones(domain, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(HEAD + "a: file\n    b: file\n")
    file = ["--params-file", str(path)]
    for arguments in (
        ["-p", "a:=word", *file],
        [*file, "-p", "a:=word"],
        ["-p", "perception:a:=mine", "-p", "camera:b:=theirs"],
        [*file, "-p", "a:=1", "--", "-p", "b:=2"],
        ["--param", "a:=x y", "-r", "b:=c"],
    ):
        ours = parameters_in_arguments(["other", "--ros-args", *arguments], "/perception")
        assert same(ours, by_ros(arguments)), arguments


def test_files_that_are_no_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"#" * (1 << 20) + b"\n")
    (tmp_path / "latin").write_bytes(b"\xff\xfe\xfa")
    for name in ("missing", "pipe", "large", "latin", "."):
        with pytest.raises(ParameterFileError, match="cannot be read"):
            parameters_of_node(tmp_path / name)
    deep = tmp_path / "deep"
    deep.write_text("[" * 5000)
    with pytest.raises(ParameterFileError, match="nested deeper"):
        parameters_of_node(Path(deep))
