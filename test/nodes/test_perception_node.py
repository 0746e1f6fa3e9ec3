"""The perception node over DDS: good and bad input, life cycle, parameters, signals."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest
import yaml
from ros_fixtures import LEFT, RIGHT, ROOT, Peer, own_domain, perception, pose, wait_until, write_model

from usdrl_ros.actions.events import Phase
from usdrl_ros.nodes.perception import main
from usdrl_ros.parameters import parameter_text
from usdrl_ros.perception_parameters import PARAMETERS
from usdrl_ros.settings import Settings

pytestmark = pytest.mark.slow

SECOND = 10**9
STARTED, ENDED = Phase.STARTED, Phase.ENDED


class Stage:
    """A running perception node and a peer that plays people to it; the stamps continue from test to test."""

    def __init__(self, program, peer, domain):
        self.program, self.peer, self.domain = program, peer, domain
        self.now_ns = time.time_ns()

    def play(self, seconds: float, *people: str, rate_hz: float = 30.0, **hands: float) -> int:
        """Publish people who stand still; return the first stamp. Faster than real time."""
        first_ns = self.now_ns
        for _ in range(round(seconds * rate_hz)):
            self.now_ns += round(SECOND / rate_hz)
            self.peer.publish(self.now_ns, {person: pose(**hands) for person in people})
            time.sleep(0.005)
        return first_ns

    def events(self, person: str, *phases: Phase):
        """The events of a person heard so far; of all phases if none is given."""
        return [e for e in self.peer.events if e.person_id == person and (not phases or e.phase in phases)]

    def answers(self, person: str) -> None:
        """Good input is answered by scores."""
        from_ns = self.play(1.0, person) + SECOND // 2
        wait_until(lambda: self.peer.scored(person, from_ns), what=f"scores of {person}; log:\n{self.program.log}")


@pytest.fixture(scope="module")
def stage(model):
    """A node for the tests that leave it running."""
    parameters = (f"model:={model}", "input_reliability:=reliable", "input_depth:=1000", "input_timeout_s:=1.0")
    with own_domain() as domain, perception(*parameters) as program, Peer(domain) as peer:
        peer.wait_for_perception()
        yield Stage(program, peer, domain)
        assert program.end() == 0
        assert "Traceback" not in program.log
        assert "internal_error" not in program.log


def test_vocabulary_is_latched(stage):
    with Peer(stage.domain) as late:
        late.wait_for_perception()
        vocabulary = late.heard["usdrl/vocabulary"][0]
    assert (vocabulary.model, list(vocabulary.actions)) == ("hands", [RIGHT, LEFT])


def test_scores_are_probabilities_of_what_is_done(stage):
    from_ns = stage.play(1.5, "scored", right_hand_m=0.1) + SECOND
    wait_until(lambda: stage.peer.scored("scored", from_ns), what="scores")
    scores = stage.peer.heard["usdrl/scores"][-1]
    logits = np.array([0.0, 40 * 0.1, 40 * -0.4])  # the model's rule
    np.testing.assert_allclose(scores.detection, np.exp(logits) / np.exp(logits).sum(), atol=1e-4)
    assert scores.header.frame_id == "camera"


def test_event_of_an_action_and_its_end_when_input_stops(stage):
    stage.play(1.0, "raiser")
    raised_ns = stage.play(1.5, "raiser", right_hand_m=0.2)
    wait_until(lambda: stage.events("raiser", ENDED), what="ENDED after the input stopped")
    events = stage.events("raiser")
    assert events[0].phase == STARTED
    assert {event.event_id for event in events} == {events[0].event_id}
    assert {event.action for event in events} == {RIGHT}
    assert abs(events[-1].start_ns - raised_ns) < 0.15 * SECOND
    assert abs(events[-1].end_ns - stage.now_ns) < 0.15 * SECOND
    assert events[-1].position == pytest.approx((0.0, 0.0, 2.0), abs=1e-6)
    stage.program.wait_for_log("no skeletons on /skeletons for 1.0 s: ended 1 actions")


def test_an_id_that_comes_back_is_a_new_person(stage):
    stage.play(1.0, "back", right_hand_m=0.2)
    wait_until(lambda: len(stage.events("back", STARTED)) == 1, what="STARTED")
    left_ns = stage.now_ns
    stage.play(1.5, "other")
    wait_until(lambda: len(stage.events("back", ENDED)) == 1, what="ENDED of a person who has gone")
    stage.play(1.0, "back", right_hand_m=0.2)
    wait_until(lambda: len(stage.events("back", STARTED)) == 2, what="STARTED of a person who came back")
    assert stage.events("back", ENDED)[0].end_ns == left_ns
    assert stage.events("back", STARTED)[1].start_ns >= left_ns + 1.5 * SECOND
    assert stage.events("back", STARTED)[1].event_id != stage.events("back", STARTED)[0].event_id


def test_a_message_without_people_ends_nothing_at_once(stage):
    warnings = stage.program.log.count("[WARN]")
    stage.play(1.0, "stays", right_hand_m=0.2)
    stage.play(0.5)
    stage.play(1.0, "stays", right_hand_m=0.2)
    wait_until(lambda: stage.peer.scored("stays", stage.now_ns - SECOND // 5), what="scores")
    phases = [event.phase for event in stage.events("stays")]
    assert phases[0] == STARTED
    assert set(phases[1:]) == {Phase.ONGOING}
    assert stage.program.log.count("[WARN]") == warnings


def _wrong_size(stage):
    stage.play(0.1, "short")
    for _ in range(3):
        stage.now_ns += SECOND // 30
        stage.peer.publish(stage.now_ns, {"short": pose()}, positions=[0.0] * 74)


def _unknown_layout(stage):
    stage.peer.publish(stage.now_ns, {"alien": np.zeros((7, 3))}, layout="heptapod_7")


def _all_nan(stage):
    stage.peer.publish(stage.now_ns, {"ghost": np.full((25, 3), np.nan)})


def _stamp_back(stage):
    stage.play(0.2, "jumper")
    stage.now_ns -= 10 * SECOND
    stage.peer.publish(stage.now_ns, {"jumper": pose()})


def _stamp_repeated(stage):
    stage.play(0.2, "twice")
    stage.peer.publish(stage.now_ns, {"twice": pose()})


def _crowd(stage):
    stage.play(1.0, *(f"crowd_{i}" for i in range(100)), rate_hz=15.0)
    stage.play(1.2)  # they are gone


def _mob(stage):
    stage.play(0.3, *(f"mob_{i}" for i in range(200)), rate_hz=15.0)
    stage.play(1.2)


def _no_stamp(stage):
    stage.peer.publish(0, {"timeless": pose()})


@pytest.mark.parametrize(
    ("cause", "count", "line", "act"),
    [
        ("wrong_size", 3, "person 'short' ignored: 74 position values, layout 'ntu_25' needs 75", _wrong_size),
        ("unknown_layout", 1, "heptapod_7.*known.*coco_17", _unknown_layout),
        ("nothing_seen", 1, "person 'ghost'.*no joint is seen", _all_nan),
        ("clock_jump", 1, "jump back by 10.000 s", _stamp_back),
        ("repeated_stamp", 1, "person 'twice'.*repeated", _stamp_repeated),
        ("too_many_people", None, r"10\d people, max_people is 16: 8\d are not watched", _crowd),
        ("too_many_in_message", None, r"20\d people in a message, expected at most 128: the others are", _mob),
        ("no_stamp", 1, "message ignored: it has stamp 0, though messages before it had one", _no_stamp),
    ],
)
def test_bad_input_is_logged_and_counted(stage, cause, count, line, act):
    act(stage)
    stage.program.wait_for_log(f"\\[WARN\\].*{cause}.*: .*{line}")
    assert len([found for found in stage.program.log.splitlines() if f": {cause}" in found]) == 1  # throttled
    wait_until(lambda: f"problem.{cause}" in stage.peer.diagnostics(), what=f"diagnostics of {cause}")
    assert count in (None, int(stage.peer.diagnostics()[f"problem.{cause}"]))
    assert stage.peer.diagnostics()["level"] == "1"
    stage.answers(f"after_{cause}")


def test_missing_input_is_stale(stage):
    wait_until(lambda: stage.peer.diagnostics().get("level") == "3", what="STALE")
    status = stage.peer.diagnostics()
    assert status["message"].startswith("no skeletons on /skeletons for")
    assert status["model"] == "hands"
    assert int(status["messages"]) > int(status["steps"]) > 0


def test_life_cycle_and_models_that_cannot_be_used(domain, model, tmp_path):
    whole = model.read_bytes()
    bad = {
        "missing.onnx": (None, "is not there"),
        "cut.onnx": (whole[: len(whole) // 2], "cannot be loaded, it is no ONNX file or is cut off"),
        "text.onnx": (b"This is not a model.\n", "cannot be loaded, it is no ONNX file or is cut off"),
        "bare.onnx": (
            write_model(tmp_path / "bare.onnx", metadata=False).read_bytes(),
            "lacks the metadata usdrl.format",
        ),
    }
    with perception("autostart:=false", "input_reliability:=reliable") as program, Peer(domain) as peer:
        for name, (content, message) in bad.items():
            if content is not None:
                (tmp_path / name).write_bytes(content)
            assert peer.set_parameter("model", str(tmp_path / name)) is None
            assert not peer.change_state("configure")
            program.wait_for_log(f"\\[ERROR\\].*{name} {message}")
        assert "Max: 60.0" in peer.set_parameter("rate", 100.0)
        assert "end_threshold" in peer.set_parameter("end_threshold", 0.9)
        assert peer.set_parameter("model", str(model)) is None
        stage = Stage(program, peer, domain)
        for _ in range(2):
            assert peer.change_state("configure")
            assert peer.change_state("activate")
            assert "the subscription is made from it. Deactivate and clean it up first" in peer.set_parameter(
                "input_depth", 5
            )
            peer.wait_for_perception()
            peer.heard["usdrl/actions"].clear()
            stage.play(1.0, "raiser", right_hand_m=0.2)
            wait_until(lambda: stage.events("raiser", STARTED), what="STARTED")
            assert peer.change_state("deactivate")
            wait_until(lambda: stage.events("raiser", ENDED), what="ENDED by deactivation")
            assert peer.change_state("cleanup")
        assert not peer.change_state("activate")
        assert peer.change_state("unconfigured_shutdown")
        assert program.end(signal.SIGTERM) == 0
        assert "Traceback" not in program.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_what_runs_and_the_node(domain, model, number):
    parameters = (f"model:={model}", "input_reliability:=reliable")
    with perception(*parameters, remap="__ns:=/robot") as program, Peer(domain, "robot") as peer:
        peer.wait_for_perception()
        stage = Stage(program, peer, domain)
        stage.play(1.0, "raiser", right_hand_m=0.2)
        wait_until(lambda: stage.events("raiser", STARTED), what="STARTED")
        assert program.end(number) == 0
        wait_until(lambda: stage.events("raiser", ENDED), what="ENDED")
        assert "Traceback" not in program.log


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("-p model:=/no/such/model.onnx", "model /no/such/model.onnx is not there"),
        ("-p rate:=1000.0", "parameter rate is 1000.0, must be a number from 0.5 to 60"),
        ("-p rate:=fast", "parameter rate is 'fast', must be a number from 0.5 to 60"),
        ("-p threads:=many", "parameter threads is 'many', must be an integer from 1 to 64"),
        ("-p engine:=abacus", "parameter engine is 'abacus', must be one of auto"),
        ("-p precision:=fp8", "parameter precision is 'fp8', must be one of auto, fp32"),
        ("-p source:=zet", "unknown source 'zet': did you mean 'zed'?"),
        ("-p source:=yolo_2d", "source 'yolo_2d' gives positions in the image (2D), the model needs 3D"),
        ("-p association:=maybe", "parameter association is 'maybe', must be one of auto, on, off"),
        ("-p layout:=heptapod_7", "heptapod_7"),
        ("-p intent_names:=[wave]", "parameter intent_names is ['wave']: 'wave' is not of the form ACTION=INTENT"),
        (
            "-p qos_overrides./usdrl/actions.publisher.reliability:=maybe",
            "a publisher cannot be made, see the parameters qos_overrides",
        ),
        ("-p end_threshold:=0.9", "parameter end_threshold is 0.9, must not be above start_threshold"),
        ("-p input_topic:=/a//b", "parameter input_topic is '/a//b': Invalid topic name"),
        ("-p use_sim_time:=3", "use_sim_time"),
        ("--params-file /no/such/file.yaml", "Error opening YAML file"),
    ],
)
def test_wrong_start_ends_with_one_clear_line(domain, capfd, arguments, line):
    assert main(["--ros-args", *arguments.split()]) == 1
    lines = [text for text in capfd.readouterr().err.splitlines() if "[perception]" in text]
    assert len(lines) == 1
    assert line in lines[0]


def test_unknown_parameter_is_logged(domain, capfd):
    main("--ros-args -p stat_threshold:=0.6 -p model:=/no/such/model.onnx".split())
    assert (
        "parameter stat_threshold is not known, it is ignored; did you mean start_threshold?" in capfd.readouterr().err
    )


def test_perception_yaml_is_what_the_declaration_says():
    text = (ROOT / "config" / "perception.yaml").read_text()
    assert text == parameter_text(PARAMETERS, text.splitlines()[0].removeprefix("# "))
    assert yaml.safe_load(text) == {"/**": {"ros__parameters": {spec.name: spec.default for spec in PARAMETERS}}}
    assert set(Settings.__dataclass_fields__) <= {spec.name for spec in PARAMETERS if spec.live}
