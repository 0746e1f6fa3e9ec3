"""`replay.launch.py`: a bag is played into the node, events come out, and all ends with the bag."""

import unittest

import launch_testing
from scenarios import BAG, MODEL, Listener, launched
from usdrl_ros.msg import ActionEvent


def generate_test_description():
    return launched("replay.launch.py", bag=BAG, model=MODEL, rate="2")


class TestRunning(unittest.TestCase):
    def test_events_of_the_bag_come_out(self, proc_output):
        heard = []
        with Listener() as listener:
            listener.node.create_subscription(ActionEvent, "/usdrl/actions", heard.append, 100)
            assert listener.wait_until(lambda: {e.person_id for e in heard if e.phase == e.STARTED} == {"ann", "bob"})
        assert {event.action for event in heard} == {"raise_right_hand"}
        proc_output.assertWaitFor("played", timeout=40, stream="stderr")


@launch_testing.post_shutdown_test()
class TestEnded(unittest.TestCase):
    def test_both_nodes_ended_cleanly(self, proc_info):
        assert {name.split("-")[0] for name in proc_info.process_names()} >= {"perception", "replay"}
        launch_testing.asserts.assertExitCodes(proc_info)
