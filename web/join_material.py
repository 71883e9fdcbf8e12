"""What a new VM is given so that it joins by itself."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cladnet import networks
from cladnet.enrol import enrolment
from cladnet.enrol.join_file import Join, JoinFile
from cladnet.model import Role
from web import launches
from web.context import store
from web.launches import Launch

JOIN_FILE = "/etc/larva/join.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinMaterial:
    """An enrolment token and everything around it; nobody can read the token again."""

    group: str
    roles: tuple[Role, ...]
    uses: int
    expires_at: datetime
    server: str
    ca: str
    """Fingerprint of the system's CA, which new hosts pin."""
    token: str
    join_toml: str
    user_data: str
    """cloud-init user-data, as it is pasted into a cloud's form."""
    launches: tuple[Launch, ...]
    """How VMs with this user-data are launched at each provider."""
    tumblebug: str
    """A request to CB-Tumblebug that does the same."""


def make(cladnet: str, *, roles: tuple[Role, ...], ttl_s: int, uses: int) -> JoinMaterial:
    """Create a token for new hosts of a CLADNet (id or name).

    Args:
        roles: what its bearers may be, at most.
        ttl_s: seconds for which it is good.
        uses: how many hosts may use it.

    Raises:
        NotFound: no such CLADNet, or the system is not founded yet.
        InvalidInput: lifetime, uses or roles make no sense.
    """
    group = networks.find(store(), cladnet).id
    plane = enrolment.control_plane(store())
    token = enrolment.create_token(store(), group=group, roles=roles, ttl_s=ttl_s, uses=uses)
    join = Join(server=plane.server, servers=plane.servers[1:], ca=plane.ca, token=token)
    join_toml = JoinFile(roles=roles, join=join).text()
    return JoinMaterial(
        group=group,
        roles=roles,
        uses=uses,
        expires_at=datetime.now(UTC) + timedelta(seconds=ttl_s),
        server=plane.server,
        ca=plane.ca,
        token=token,
        join_toml=join_toml,
        user_data=user_data(join_toml),
        launches=launches.of_providers(uses),
        tumblebug=launches.tumblebug(join_toml, JOIN_FILE, uses),
    )


def user_data(join_toml: str) -> str:
    """Return cloud-config that puts the join file in its place (cloud-init, module write-files)."""
    block = "".join(f"      {line}\n" if line else "\n" for line in join_toml.splitlines())
    return (
        "#cloud-config\n"
        "write_files:\n"
        f"  - path: {JOIN_FILE}\n"
        '    permissions: "0600"\n'
        "    owner: root:root\n"
        "    content: |\n" + block
    )
