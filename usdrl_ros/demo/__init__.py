"""The actor: a kinematic person who plays scripts of actions, for the demo, the tests and the training mix."""

from usdrl_ros.demo.actor import ACTIONS, View, play, random_script

__all__ = ["ACTIONS", "View", "play", "random_script"]
