"""What a host finds out about itself against a real control node: etcd and console over TLS, certificates as issued."""

from datetime import timedelta
from pathlib import Path

import pytest

from cladnet import keys
from cladnet.doctor.check import check as doctor
from cladnet.doctor.inspection import inspect
from cladnet.enrol.authority import LEAF_LIFETIME
from cladnet.model import EnrolledHost, Role
from larva.checks import Severity

pytestmark = pytest.mark.root


@pytest.fixture
def node(control_node_factory):
    """A founded control node whose console answers."""
    made = control_node_factory()
    made.found()
    made.start_console()
    return made


def test_a_control_node_is_well_until_its_parts_stop(node, as_host) -> None:
    with as_host(node.directory):
        condition = inspect()
        assert (condition.host, condition.roles, condition.removed) == ("control-1", (Role.CONTROL,), False)
        assert set(condition.etcd.values()) == {""}
        assert condition.console_problem == ""
        assert condition.clock_ahead_s is not None
        assert abs(condition.clock_ahead_s) < 60
        assert condition.certificate_until is not None
        assert timedelta(days=300) < condition.certificate_until - condition.looked_at <= LEAF_LIFETIME
        assert len(condition.servers_until) == 4
        assert all(until - condition.looked_at > timedelta(days=300) for until in condition.servers_until.values())
        assert condition.cladnets == ()

        node.stop_console()
        with node.store() as store:
            record = store.get(keys.enrolled_host("control-1"), EnrolledHost)
            assert record is not None
            store.delete(record.key)
        condition = inspect()
        assert condition.removed
        assert "does not answer" in condition.console_problem

        node.etcd.kill()
        node.etcd.wait(timeout=20)
        condition = inspect()
        assert set(condition.etcd.values()) == {"Connection refused"}
        assert not condition.removed  # nobody says so now
        (node.directory / "state/tls/client.pem").write_text("no certificate")
        told = {finding.about: finding for finding in doctor()}
        assert {"etcd", "console", "certificate"} <= told.keys()


def test_a_host_that_is_not_enrolled_is_told_how(tmp_path: Path, as_host) -> None:
    with as_host(tmp_path):
        (finding,) = doctor()
    assert (finding.severity, finding.about) == (Severity.PROBLEM, "enrolment")
    assert "larva join" in finding.do
