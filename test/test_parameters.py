"""Parameters get the type that they are declared with, whatever YAML made of their text."""

from __future__ import annotations

import pytest

from usdrl_ros.parameter_file import ParameterFileError
from usdrl_ros.parameters import ParameterError, ParameterSpec
from usdrl_ros.perception_parameters import PARAMETERS, perception_parameters

HEAD = "perception:\n  ros__parameters:\n    "
SPECS = {spec.name: spec for spec in PARAMETERS}


@pytest.fixture
def file(tmp_path):
    def write(text):
        (tmp_path / "p.yaml").write_text(text)
        return tmp_path / "p.yaml"

    return write


@pytest.mark.parametrize(
    "word", ["on", "yes", "true", "y", "off", "no", "null", "~", "12", "007", "1e3", "0x10", ".inf"]
)
def test_strings_keep_the_word_that_was_written(file, word):
    values, warnings = perception_parameters(file(f"{HEAD}model: {word}\n    layout: {word}\n    source: {word}\n"))
    assert values == {"model": word, "layout": word, "source": word}
    assert warnings == []


@pytest.mark.parametrize("word", ["on", "off", "auto", '"on"', "'off'"])
def test_choices_that_yaml_takes_for_truth_values(file, word):
    assert perception_parameters(file(f"{HEAD}association: {word}\n"))[0] == {"association": word.strip("'\"")}


@pytest.mark.parametrize("word", ["yes", "true", "On", "maybe", "1"])
def test_other_words_are_refused_as_they_were_written(file, word):
    with pytest.raises(ParameterError, match=f"association is '{word}', must be one of auto, on, off"):
        perception_parameters(file(f"{HEAD}association: {word}\n"))


def test_a_truth_value_whose_text_is_not_known_is_the_choice_that_it_stands_for():
    assert SPECS["association"].typed(True) == "on"
    assert SPECS["association"].typed(False) == "off"
    assert SPECS["layout"].typed(True) is True  # which word it was is not known: refused by its type
    assert SPECS["model"].typed(12) == "12"
    assert SPECS["engine"].problem(SPECS["engine"].typed(True))


def test_whole_numbers_are_numbers_and_nothing_else_is(file):
    values, _ = perception_parameters(file(f"{HEAD}rate: 5\n    max_people: 3\n    intent_names: []\n"))
    assert values == {"rate": 5.0, "max_people": 3, "intent_names": []}
    assert type(values["rate"]) is float
    for line in ("rate: '5'", "rate: on", "max_people: 2.0", "max_people: '2'", "markers: 1", "markers: 'true'"):
        with pytest.raises(ParameterError, match=f"parameter {line.split(':')[0]} is .*, must be"):
            perception_parameters(file(f"{HEAD}{line}\n"))


def test_lists_of_words_keep_their_words():
    spec = ParameterSpec("topics", [], "Topics.")
    assert spec.typed([True, False], ["on", "no"]) == ["on", "no"]
    assert spec.typed([1, 2], ["01", "2"]) == ["01", "2"]
    assert spec.typed(None) == []


def test_unknown_names_are_reported_with_the_name_that_is_near(file):
    values, warnings = perception_parameters(file(f"{HEAD}start_treshold: 0.3\n    use_sim_time: true\n    zebra: 1\n"))
    assert values == {}
    assert warnings == [
        "parameter start_treshold is not known, it is ignored; did you mean start_threshold?",
        "parameter zebra is not known, it is ignored",
    ]


def test_other_nodes_parameters_are_not_taken(file):
    path = file(
        "yolo_node:\n  ros__parameters: {model: yolov8m-pose.pt}\nperception:\n  ros__parameters: {rate: 10.0}\n"
    )
    assert perception_parameters(path) == ({"rate": 10.0}, [])


def test_values_that_do_not_go_together_are_refused(file):
    with pytest.raises(ParameterError, match=r"end_threshold is 0\.8, must not be above start_threshold"):
        perception_parameters(file(f"{HEAD}end_threshold: 0.8\n"))
    with pytest.raises(ParameterError, match=r"parameter rate is nan, must be a number from 0\.5 to 60"):
        perception_parameters(file(f"{HEAD}rate: .nan\n"))
    with pytest.raises(ParameterFileError):
        perception_parameters(file(f"{HEAD}rate:\n"))


TOPICS = ["/skeletons", "a/b", "~/x", "a_b", "", "/a//b", "a/", "1a", "a__b", "a b", "ä", "/", "a-b"]


@pytest.mark.parametrize("name", TOPICS)
def test_topic_names_are_those_of_ros(name):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from rclpy.exceptions import NameValidationException
    from rclpy.expand_topic_name import expand_topic_name
    from rclpy.validate_full_topic_name import validate_full_topic_name

    try:
        valid = not name or bool(validate_full_topic_name(expand_topic_name(name, "perception", "/")))
    except (NameValidationException, ValueError):
        valid = False
    assert (SPECS["input_topic"].problem(name) is None) == valid
