"""The parameters of a real ROS node, from command lines and files: the evaluation takes the same from the same file."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from rclpy.parameter import Parameter

from usdrl_ros.nodes.parameters import accept_other_types, declare, values_of
from usdrl_ros.parameters import ParameterError
from usdrl_ros.perception_parameters import PARAMETERS, perception_parameters

DEFAULTS = {spec.name: spec.default for spec in PARAMETERS}
FILES = {
    "words": "perception:\n  ros__parameters:\n    association: on\n    layout: 12\n    model: no\n    source: 0x10\n",
    "quoted": "/perception:\n  ros__parameters:\n    association: 'off'\n    layout: '12'\n",
    "numbers": "/**:\n  ros__parameters:\n    rate: 5\n    max_people: 3\n    confirm_s: 1e-1\n    intent_names: []\n",
    "lists": "/**:\n  ros__parameters:\n    intent_names: ['wave=hello', 'point=there']\n",
    "all, then this": "/**:\n  ros__parameters:\n    rate: 2.0\nperception:\n  ros__parameters:\n    rate: 4.0\n",
    "this, then all": "perception:\n  ros__parameters:\n    rate: 4.0\n/**:\n  ros__parameters:\n    rate: 2.0\n",
    "others": "camera:\n  ros__parameters:\n    rate: 2.0\n"
    "yolo:\n  perception:\n    ros__parameters:\n      rate: 3.0\nperception:\n  ros__parameters:\n    threads: 2\n",
    "a namespace": "robot:\n  perception:\n    ros__parameters:\n      rate: 3.0\n",
    "unknown": "perception:\n  ros__parameters:\n    start_treshold: 0.3\n    rate: 4.0\n",
}
REFUSED = {
    "a wrong choice": "perception:\n  ros__parameters:\n    association: maybe\n",
    "a wrong truth value": "perception:\n  ros__parameters:\n    association: yes\n",
    "out of range": "perception:\n  ros__parameters:\n    rate: 100\n",
    "a text for a number": "perception:\n  ros__parameters:\n    rate: '5'\n",
    "a number for a truth value": "perception:\n  ros__parameters:\n    markers: 1\n",
    "a fraction of a person": "perception:\n  ros__parameters:\n    max_people: 2.0\n",
    "a list of numbers": "perception:\n  ros__parameters:\n    intent_names: [1, 2]\n",
}


@contextmanager
def ros_node(*arguments: str, namespace: str = ""):
    words = ["--ros-args", *arguments]
    context = rclpy.Context()
    rclpy.init(args=words, context=context)
    node = rclpy.create_node("perception", namespace=namespace, context=context)
    try:
        yield node, words
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def declared(*arguments: str, namespace: str = "") -> dict:
    with ros_node(*arguments, namespace=namespace) as (node, words):
        declare(node, PARAMETERS, words)
        return values_of(node, PARAMETERS)


@pytest.mark.parametrize("name", FILES)
def test_the_evaluation_takes_what_the_node_takes(domain, tmp_path, name):
    path = tmp_path / "p.yaml"
    path.write_text(FILES[name])
    namespaces = ["/robot"] if name == "a namespace" else ["", "/robot"]
    for namespace in namespaces:
        values, _ = perception_parameters(path, f"{namespace}/perception")
        assert DEFAULTS | values == declared("--params-file", str(path), namespace=namespace)
    if name != "others":
        values, _ = perception_parameters(path)
        assert DEFAULTS | values == declared("--params-file", str(path), namespace=namespaces[0])


@pytest.mark.parametrize("name", REFUSED)
def test_the_evaluation_refuses_what_the_node_refuses(domain, tmp_path, name):
    path = tmp_path / "p.yaml"
    path.write_text(REFUSED[name])
    with pytest.raises(ParameterError) as by_node:
        declared("--params-file", str(path))
    with pytest.raises(ParameterError) as by_evaluation:
        perception_parameters(path)
    assert str(by_node.value) == str(by_evaluation.value)


def test_words_of_the_command_line_keep_their_text(domain):
    given = {"association": "on", "layout": "007", "model": "yes", "engine_cache": "1e3", "source": "no"}
    values = declared(*(word for name, text in given.items() for word in ("-p", f"{name}:={text}")))
    assert {name: values[name] for name in given} == given
    assert declared("-p", "association:=off")["association"] == "off"
    assert declared("-p", "association:='on'")["association"] == "on"
    assert declared("-p", "rate:=10")["rate"] == 10.0
    assert declared("-p", "perception:layout:=12")["layout"] == "12"
    assert declared("-p", "intent_names:=[]")["intent_names"] == []


def test_parameters_that_are_set_later_take_the_same_values(domain):
    with ros_node() as (node, words):
        declare(node, PARAMETERS, words)
        if not hasattr(node, "add_pre_set_parameters_callback"):
            pytest.skip("this distribution checks types before anything else")
        accept_other_types(node, PARAMETERS)
        wanted = [Parameter("association", value=True), Parameter("rate", value=5), Parameter("model", value=12)]
        assert all(result.successful for result in node.set_parameters(wanted))
        values = values_of(node, PARAMETERS)
        assert json.dumps([values[each.name] for each in wanted]) == '["on", 5.0, "12"]'
