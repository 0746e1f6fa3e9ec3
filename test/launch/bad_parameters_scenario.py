"""A wrong source: the node ends with code 1 and one line that helps."""

import unittest

import launch_testing
from scenarios import MODEL, launched, node_of


def generate_test_description():
    return launched("perception.launch.py", model=MODEL, source="zet")


class TestRunning(unittest.TestCase):
    def test_it_says_what_is_wrong(self, proc_output, proc_info):
        proc_output.assertWaitFor("unknown source 'zet': did you mean 'zed'?", timeout=40, stream="stderr")
        proc_info.assertWaitForShutdown(process=node_of(proc_info), timeout=20)


@launch_testing.post_shutdown_test()
class TestEnded(unittest.TestCase):
    def test_it_ended_with_an_error(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info, [1], process=node_of(proc_info))
