"""The bond of an active node, as nav2's lifecycle manager forms it."""

from __future__ import annotations

import sys
import time

import pytest
from interface_packages import interface_packages  # noqa: F401 (a fixture)
from ros_fixtures import Peer, perception, wait_until

from usdrl_ros.nodes.perception import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("interface_packages")]


def test_the_heartbeat_lasts_from_activation_to_deactivation(domain, model):
    from bond.msg import Status

    with perception(f"model:={model}", "bond:=true", "autostart:=false") as program, Peer(domain) as peer:
        peer.listen(Status, "bond")
        wait_until(lambda: peer.node.count_publishers("/diagnostics"), what="the node")
        assert peer.change_state("configure")
        time.sleep(0.5)
        assert not peer.heard["bond"]
        instances = []
        for _ in range(2):  # each activation is a bond of its own
            peer.heard["bond"].clear()
            assert peer.change_state("activate")
            wait_until(lambda: len(peer.heard["bond"]) >= 8, what="heartbeats")
            beats = list(peer.heard["bond"])
            assert {(beat.id, beat.active) for beat in beats} == {("perception", True)}
            assert beats[0].heartbeat_period == pytest.approx(0.25)
            instances += {beat.instance_id for beat in beats}
            assert peer.change_state("deactivate")
            wait_until(lambda: not peer.heard["bond"][-1].active, what="the end of the bond")
            count = len(peer.heard["bond"])
            time.sleep(0.6)
            assert len(peer.heard["bond"]) == count
        assert len(set(instances)) == len(instances) == 2
        assert peer.change_state("activate")
        assert program.end() == 0
        wait_until(lambda: not peer.heard["bond"][-1].active, what="the end with the node")


def test_without_its_package_it_is_refused_with_the_remedy(domain, model, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "bond.msg", None)
    assert main(["--ros-args", "-p", f"model:={model}", "-p", "bond:=true"]) == 1
    error = capfd.readouterr().err
    assert "parameter bond needs the message bond/msg/Status, which is not installed" in error
    assert "or set bond:=false, and the manager's bond_timeout to 0" in error
