"""The user-data with which a new VM joins by itself."""

from cladnet.enrol.join_file import JoinFile

JOIN_FILE = "/etc/larva/join.toml"


def cloud_config(join: JoinFile) -> str:
    """Return cloud-config that puts the join file in its place (cloud-init, module write_files)."""
    content = "".join(f"      {line}\n" if line else "\n" for line in join.text().splitlines())
    return (
        "#cloud-config\n"
        "write_files:\n"
        f"  - path: {JOIN_FILE}\n"
        '    permissions: "0600"\n'
        "    owner: root:root\n"
        "    content: |\n" + content
    )
