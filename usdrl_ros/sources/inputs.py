"""Topics of skeletons as the parameter `inputs` lists them: one a camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from usdrl_ros.sources.reader import DEFAULT_SOURCE

RELIABILITIES = ("source", "best_effort", "reliable")


class InputError(ValueError):
    """An entry of `inputs` cannot be used; one line."""


@dataclass(frozen=True)
class Input:
    """One topic of skeletons.

    Args:
        topic: Its name; "": the source's.
        source: What the messages are, see `load_source`.
        layout: Joint layout, where the source leaves it open.
        reliability: Quality of service of the subscription; "source": as the source says.
        depth: Queue depth of the subscription; 0: as the source says.
    """

    topic: str = ""
    source: str = DEFAULT_SOURCE
    layout: str = ""
    reliability: str = "source"
    depth: int = 0


def read_input(text: str) -> Input:
    """An entry "TOPIC [source=NAME] [layout=NAME] [reliability=KIND] [depth=N]".

    Raises:
        InputError: It has another form.
    """
    topic, *options = text.split()[:6] or [""]
    if not topic or "=" in topic:
        raise InputError(f"input {text!r}: expected TOPIC, then options such as source=zed, with spaces between")
    values: dict[str, str | int] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if name not in ("source", "layout", "reliability", "depth") or not equals or not value:
            raise InputError(f"input {text!r}: {option!r} is none of source=, layout=, reliability= and depth=")
        if name == "reliability" and value not in RELIABILITIES:
            raise InputError(f"input {text!r}: reliability is {value!r}, expected {', '.join(RELIABILITIES)}")
        if name == "depth":
            if not value.isdecimal() or not int(value) <= 10_000:
                raise InputError(f"input {text!r}: depth is {value!r}, expected a whole number up to 10000")
            values[name] = int(value)
        else:
            values[name] = value
    return Input(topic, **values)  # type: ignore[arg-type]


def read_inputs(texts: Sequence[str]) -> list[Input]:
    """The entries of `inputs`.

    Raises:
        InputError: One has another form, or two have one topic.
    """
    inputs = [read_input(text) for text in texts]
    topics = [each.topic for each in inputs]
    if twice := sorted({topic for topic in topics if topics.count(topic) > 1}):
        raise InputError(f"inputs: {', '.join(twice)} is there twice; each camera needs a topic of its own")
    return inputs
