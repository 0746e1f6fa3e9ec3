"""`autostart:=false`: the node waits to be configured and activated, as a lifecycle manager does it."""

import unittest

import launch_testing
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from scenarios import MODEL, Listener, launched


def generate_test_description():
    return launched("perception.launch.py", model=MODEL, autostart="false")


class TestRunning(unittest.TestCase):
    def test_it_is_brought_up_step_by_step(self):
        with Listener() as listener:

            def state():
                return listener.call(GetState, "/perception/get_state", GetState.Request()).current_state.id

            def change(transition):
                request = ChangeState.Request(transition=Transition(id=transition))
                return listener.call(ChangeState, "/perception/change_state", request).success

            assert state() == State.PRIMARY_STATE_UNCONFIGURED
            assert change(Transition.TRANSITION_CONFIGURE)
            assert state() == State.PRIMARY_STATE_INACTIVE
            assert change(Transition.TRANSITION_ACTIVATE)
            assert state() == State.PRIMARY_STATE_ACTIVE


@launch_testing.post_shutdown_test()
class TestEnded(unittest.TestCase):
    def test_it_ended_cleanly(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
