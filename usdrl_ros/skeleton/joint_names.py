"""The rule to NTU-25 of joints that are known by their names alone.

Pose estimators spell the same joint in many ways: `left_shoulder`, `LShoulder`, `ShoulderLeft`, `l_sho`. A name is
taken apart into its side and its part, and each NTU-25 joint takes the first of its choices that the names offer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Rule = list[str] | str
Choice = tuple[str, ...] | str

_SIDES = {"l": "Left", "left": "Left", "r": "Right", "right": "Right"}
_PARTS = {
    "Shoulder": "shoulder sho",
    "Elbow": "elbow elb",
    "Wrist": "wrist wri",
    "Hand": "hand palm",
    "HandTip": "handtip fingertip handmiddle4 middletip middlefinger index indextip handindex",
    "Thumb": "thumb thumbtip handthumb handthumb4",
    "Hip": "hip",
    "Knee": "knee kne",
    "Ankle": "ankle ank",
    "Foot": "foot toe toes toebase bigtoe smalltoe footindex",
    "Ear": "ear",
    "Eye": "eye",
    "Pelvis": "pelvis root waist hips hipcenter centerhip midhip spinebase",
    "Spine": "spinemid torso navel naval navalspine spinenavel spine chestspine spinechest spine2",
    "UpperSpine": "spineshoulder shouldercenter thorax",
    "Neck": "neck neckbase",
    "Head": "head headcenter",
    "Nose": "nose",
}
"""What a part of the body is called, without its side."""
_PART_OF = {spelling: part for part, spellings in _PARTS.items() for spelling in spellings.split()}

_CENTRE = {
    "SpineBase": (("Pelvis",), ("HipLeft", "HipRight"), "none"),
    "SpineMid": (("Spine",), "mid"),
    "SpineShoulder": (("UpperSpine",), ("Neck",), ("ShoulderLeft", "ShoulderRight"), "none"),
    "Head": (("EarLeft", "EarRight"), ("Head",), ("EyeLeft", "EyeRight"), ("Nose",), "none"),
}
_SIDED = {
    "Shoulder": (("Shoulder",), "none"),
    "Elbow": (("Elbow",), "none"),
    "Wrist": (("Wrist",), ("Hand",), "none"),
    "Hand": (("Hand",), "hand"),
    "HandTip": (("HandTip",), "tip"),
    "Thumb": (("Thumb",), "same_as_hand"),
    "Hip": (("Hip",), "none"),
    "Knee": (("Knee",), "none"),
    "Ankle": (("Ankle",), ("Foot",), "none"),
    "Foot": (("Foot",), "same_as_ankle"),
}
"""What each joint of NTU-25 is the mean of: the first choice that is there, at last a derivation of `layouts`."""


def part_of(name: str) -> str:
    """The part of the body that a joint's name says, such as "ShoulderLeft" or "Pelvis"; "" if it is not known."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]
    sides = [_SIDES[word] for word in words if word in _SIDES]
    spelling = "".join(word for word in words if word not in _SIDES and word != "joint")
    if not sides and spelling not in _PART_OF and spelling[1:] in _PART_OF and spelling[0] in _SIDES:  # lwrist
        sides, spelling = [_SIDES[spelling[0]]], spelling[1:]
    part = _PART_OF.get(spelling, "")
    sided = part in _SIDED or part in ("Ear", "Eye")
    if part == "Hip" and not sides:
        return "Pelvis"
    return f"{part}{sides[0]}" if sided and len(sides) == 1 else "" if sided or sides else part


def rules_of(names: Sequence[str]) -> dict[str, list[Rule]]:
    """For each joint of NTU-25 its rules: the first, and those for while that is unseen; "none" where there is none."""
    offered: dict[str, list[str]] = {}
    for name in names:
        offered.setdefault(part_of(name), []).append(name)
    rules = {joint: _rules(choices, offered) for joint, choices in _CENTRE.items()}
    rules["Neck"] = [list(offered["Neck"]), "neck"] if {"Neck", "UpperSpine"} <= offered.keys() else ["neck"]
    for side in ("Left", "Right"):
        for part, choices in _SIDED.items():
            of_side = tuple(one if isinstance(one, str) else tuple(name + side for name in one) for one in choices)
            rules[part + side] = _rules(_first_offered(of_side, offered), offered)
        # A tracker's "hand" without a wrist is where the forearm ends.
        if rules[f"Wrist{side}"][0] == rules[f"Hand{side}"][0] and f"HandTip{side}" not in offered:
            rules[f"HandTip{side}"] = ["same_as_hand"]
    return rules


def _first_offered(choices: Sequence[Choice], offered: dict[str, list[str]]) -> list[Choice]:
    """The first choice that the names offer, and the derivations: a limb's joint is not where the next one is."""
    parts = [choice for choice in choices if not isinstance(choice, str) and all(part in offered for part in choice)]
    return [*parts[:1], *(choice for choice in choices if isinstance(choice, str))]


def _rules(choices: Sequence[Choice], offered: dict[str, list[str]]) -> list[Rule]:
    """All choices that the names offer; of several names of one part also each alone, since one may be unseen."""
    found: list[Rule] = []
    for choice in choices:
        if isinstance(choice, str):
            found += [choice] if choice != "none" or not found else []
        elif all(part in offered for part in choice):
            names = [name for part in choice for name in offered[part]]
            found.append(names)
            found += [[name] for name in names] if len(choice) == 1 and len(names) > 1 else []
    return found
