"""SIGTERM, as systemd and containers send it: the node ends with code 0 and without a traceback."""

import os
import signal
import unittest

import launch_testing
from scenarios import MODEL, launched, node_of


def generate_test_description():
    return launched("perception.launch.py", model=MODEL)


class TestRunning(unittest.TestCase):
    def test_sigterm_ends_it(self, proc_output, proc_info):
        proc_output.assertWaitFor("watching /skeletons", timeout=40, stream="stderr")
        name = node_of(proc_info)
        os.kill(proc_info[name].pid, signal.SIGTERM)
        proc_info.assertWaitForShutdown(process=name, timeout=20)


@launch_testing.post_shutdown_test()
class TestEnded(unittest.TestCase):
    def test_it_ended_cleanly(self, proc_info, proc_output):
        launch_testing.asserts.assertExitCodes(proc_info)
        for output in proc_output:
            assert b"Traceback" not in output.text
