"""Enrolment and founding that are killed anywhere are finished by the next call, and count a token's use once."""

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from cladnet import keys, networks
from cladnet.enrol import enrolment, membership
from cladnet.etcd.store import Store
from cladnet.member import Member
from cladnet.model import ControlPlane, EnrolledHost, EnrolmentToken, Role
from larva import files
from larva.errors import Conflict

KILLER = """
    # Forks a child per line of the enrolling code; each is killed at its line, then another child goes on.
    import itertools, os, sys
    from pathlib import Path
    from cladnet.enrol import joining
    from cladnet.enrol.join_file import Join, JoinFile
    from cladnet.model import Role

    root, server, ca, token = Path(sys.argv[1]), *sys.argv[2:]
    WATCHED = tuple(f"/{name}.py" for name in ("joining", "member", "files", "authority", "console_client"))
    KILLED = 9

    def child(number, deadline):
        pid = os.fork()
        if pid:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        left = [deadline]

        def trace(frame, event, _):
            if not frame.f_code.co_filename.endswith(WATCHED):
                return None
            if event == "line":
                left[0] -= 1
                if left[0] == 0:
                    os._exit(KILLED)
            return trace

        here = root / str(number)
        os.environ.update(LARVA_STATE=str(here / "state"), LARVA_CONFIG=str(here / "config"))
        wanted = JoinFile(host=f"victim-{number}", join=Join(server=server, ca=ca, token=token))
        if deadline:
            sys.settrace(trace)
        try:
            joining.enrol(wanted, patience_s=20)
        except BaseException as error:
            print(number, type(error).__name__, error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)

    for number in itertools.count(1):
        first = child(number, 1 + (number - 1) * 3)
        if child(number, 0) != 0:
            sys.exit(f"victim-{number} did not recover")
        if first != KILLED:
            break
    print(number)
"""


def test_a_host_killed_at_any_line_of_its_enrolment_resumes(control_node: Any, tmp_path: Path, as_host: Any) -> None:
    with control_node.store() as store:
        cladnet = networks.create(store, name="phoenix").id
        token = enrolment.create_token(store, group=cladnet, roles=(Role.MEMBER,), ttl_s=3600, uses=1000)
    done = subprocess.run(
        [
            sys.executable, "-c", textwrap.dedent(KILLER), str(tmp_path), control_node.server,
            control_node.authority().fingerprint(), token,
        ],
        capture_output=True, text=True, timeout=500, env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    victims = int(done.stdout)
    assert victims > 20, "the code is longer than that"
    with control_node.store() as store:
        left = store.get(keys.token(enrolment._digest(token)), EnrolmentToken)
        assert left is not None
        assert left.value.uses_left == 1000 - victims
        enrolled = {host.host: host for host in membership.enrolled_hosts(store)}
    for number in range(1, victims + 1):
        with as_host(tmp_path / str(number)):
            assert Member.load().host == f"victim-{number}"
            assert f"victim-{number}" in enrolled
    with as_host(tmp_path / str(victims // 2)), Store.of_this_host() as store:
        assert store.get(keys.enrolled_host(f"victim-{victims // 2}"), EnrolledHost) is not None


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the code under test may catch it."""


@pytest.mark.parametrize("survived", range(0, 22, 2))
def test_founding_killed_after_any_file_resumes(
    control_node_factory: Any, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    node = control_node_factory()
    real, left = files.write_whole, [survived]

    def killing(*args: Any, **kwargs: Any) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        real(*args, **kwargs)

    monkeypatch.setattr(files, "write_whole", killing)
    try:
        node.found()
        survived_all = True
    except Killed:
        survived_all = False
    assert survived_all == (survived > 18), "the number of files that founding writes has changed: move the range"
    authority_before = node.directory / "state/ca/ca.pem"
    before = authority_before.read_bytes() if authority_before.exists() else None
    monkeypatch.setattr(files, "write_whole", real)
    member = node.found()
    assert before in (None, authority_before.read_bytes()), "a second CA would orphan every certificate of the first"
    assert node.found() == member
    with node.store() as store:
        found = store.get(keys.CONTROL_PLANE, ControlPlane)
        assert found is not None
        assert [each.host for each in found.value.nodes] == ["control-1"]
        assert replace(found.value, nodes=()) == ControlPlane(
            server=node.server,
            ca=node.authority().fingerprint(),
            etcd_endpoints=(f"https://127.0.0.1:{node.ports.client}",),
        )
        assert [host.host for host in membership.enrolled_hosts(store)] == ["control-1"]
    node.close()


def test_a_control_node_whose_address_changed_gets_new_certificates_and_keeps_its_data(
    control_node_factory: Any,
) -> None:
    node = control_node_factory()
    node.found()
    with node.store() as store:
        networks.create(store, name="kept", cidr="10.79.0.0/16")
    before = (node.directory / "state/tls/client.pem").read_bytes()
    node.wanted = replace(node.wanted, control=replace(node.wanted.control, public_address=IPv4Address("127.0.0.2")))
    node.close()
    member = node.found()
    assert member.server == f"https://127.0.0.2:{node.ports.console}"
    assert (node.directory / "state/tls/client.pem").read_bytes() == before
    with Store([f"https://127.0.0.2:{node.ports.client}"], tls=node.tls_files()) as store:
        assert networks.find(store, "kept").name == "kept"
        assert enrolment.control_plane(store).etcd_endpoints == (f"https://127.0.0.2:{node.ports.client}",)
    node.close()


def test_a_host_that_joined_cannot_found(control_node: Any, control_node_factory: Any, as_host: Any) -> None:
    with as_host(control_node.directory):
        stranger = Member.load()
    node = control_node_factory()
    with as_host(node.directory):
        (node.directory / "state").mkdir()
        stranger.save()
    with pytest.raises(Conflict, match="enrolled with"):
        node.found()
