"""`perception.launch.py`: the node starts, activates itself, publishes its vocabulary, and SIGINT ends it with 0."""

import unittest

import launch_testing
from rclpy.qos import DurabilityPolicy, QoSProfile
from scenarios import MODEL, Listener, launched
from usdrl_ros.msg import ActionVocabulary


def generate_test_description():
    return launched("perception.launch.py", model=MODEL, source="skeletons", namespace="robot")


class TestRunning(unittest.TestCase):
    def test_it_watches_and_reports_what_it_knows(self, proc_output):
        proc_output.assertWaitFor("watching /robot/skeletons", timeout=40, stream="stderr")
        heard = []
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        with Listener() as listener:
            listener.node.create_subscription(ActionVocabulary, "/robot/usdrl/vocabulary", heard.append, latched)
            assert listener.wait_until(lambda: heard)
        assert heard[0].model == "hands"


@launch_testing.post_shutdown_test()
class TestEnded(unittest.TestCase):
    def test_it_ended_cleanly(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
