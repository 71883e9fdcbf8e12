"""The user-data that a person would paste into a provider's launch form."""

import json
from collections.abc import Mapping, Sequence


def cloud_config(join_toml: str) -> str:
    """A #cloud-config that lays `join_toml` into /etc/larva/join.toml; JSON is YAML, so nothing is quoted by hand."""
    files = [{"path": "/etc/larva/join.toml", "permissions": "0600", "content": join_toml}]
    return "#cloud-config\n" + json.dumps({"write_files": files}, indent=1) + "\n"


def join_toml(
    *,
    roles: Sequence[str],
    cloud: Mapping[str, str],
    join: Mapping[str, object] | None = None,
    public_address: str = "",
    devices: Sequence[str] = (),
) -> str:
    """The text of join.toml for one VM.

    Args:
        cloud: `provider`, `region`, `zone`, `network_id`, `subnet_id`.
        join: `server`, `servers`, `ca`, `token`; None for the control node that founds the system.
        public_address: what other clouds reach a control node by.
        devices: block devices or files for OSDs.
    """
    sections: dict[str, Mapping[str, object]] = {"cloud": cloud}
    if join is not None:
        sections["join"] = join
    if public_address:
        sections["control"] = {"public_address": public_address}
    if devices:
        sections["storage"] = {"devices": list(devices)}
    lines = [f"roles = {json.dumps(list(roles))}"]
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"
