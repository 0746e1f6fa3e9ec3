"""What a robot's own CI asks of an evaluation: `mAP_action@0.5>=0.7`."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from usdrl_ros.evaluation.metrics.values import METRICS, Estimate
from usdrl_ros.evaluation.options import OptionError

_COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_PATTERN = re.compile(r"\s*([\w@.]+)\s*(>=|<=|>|<)\s*([-+.\deE]+)\s*")


@dataclass(frozen=True)
class Requirement:
    """A metric, a comparison, and the bound that it must keep."""

    metric: str
    comparison: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Read one, such as "false_events_per_minute<=1".

        Raises:
            ValueError: It is none, or there is no such metric.
        """
        found = _PATTERN.fullmatch(text)
        if found is None:
            raise ValueError(f"'{text}' is no requirement; expected for instance mAP_action@0.5>=0.7")
        name, comparison, bound = found.groups()
        if name not in METRICS:
            near = get_close_matches(name, METRICS, 1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise ValueError(f"'{text}': there is no metric {name}; {meant}There are {', '.join(METRICS)}")
        return cls(name, comparison, float(bound))

    def fault(self, metrics: Mapping[str, Estimate]) -> str | None:
        """Why the metrics do not keep it; None where they do. A metric that is not defined keeps nothing."""
        value = metrics[self.metric].value if self.metric in metrics else None
        if value is not None and _COMPARISONS[self.comparison](value, self.bound):
            return None
        found = "not defined" if value is None else f"{value:.4g}"
        return f"required {self.metric}{self.comparison}{self.bound:g}: it is {found}"


def read_requirements(texts: Sequence[str]) -> list[Requirement]:
    """What is asked of the metrics.

    Raises:
        OptionError: It cannot be understood.
    """
    try:
        return [Requirement.parse(text) for text in texts]
    except ValueError as error:
        raise OptionError(f"--require {error}") from error
