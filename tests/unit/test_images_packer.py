"""The Packer templates: valid for Debian's Packer, and of no word that only other ones know."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from images import layin

TEMPLATES = layin.LAID_IN
CLOUDS = TEMPLATES / "clouds"
VALUES = {
    "image": "ami-0123456789abcdef0",
    "name": "larva-mine",
    "region": "eu-west-2",
    "group": "g",
    "flavor": "small",
}
NO_CLOUD = {
    "OS_AUTH_URL": "http://127.0.0.1:1/v3", "OS_USERNAME": "u", "OS_PASSWORD": "p", "OS_PROJECT_NAME": "p",
    "OS_DOMAIN_NAME": "d",
}  # fmt: skip
BUILDERS = re.findall(r'^source "([a-z-]+)"', (CLOUDS / "clouds.pkr.hcl").read_text(), re.MULTILINE)
AT_FIRST_FROM = {"efi_boot", "efi_firmware_code", "vtpm", "cpu_model", "cd_content", "http_content", "boot_steps"}
"""Options of the qemu builder that 1.6 refuses."""

needs_packer = pytest.mark.skipif(shutil.which("packer") is None, reason="Debian 13 has no package packer")


def validate(*words: str) -> subprocess.CompletedProcess[str]:
    values = [word for name, value in VALUES.items() for word in ("-var", f"{name}={value}")]
    env = os.environ | NO_CLOUD | {"CHECKPOINT_DISABLE": "1"}
    return subprocess.run(
        ["packer", "validate", *words, *values, str(CLOUDS)], env=env, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


def test_the_seal_leaves_nobody_s_keys_and_words(tmp_path: Path) -> None:
    root = tmp_path / "root of it"
    script = (TEMPLATES / "scripts" / "seal.sh").read_text()
    code = script.replace("\nroot=\n", f"\nroot={shlex.quote(str(root))}\n")
    assert code != script  # or else what follows would forget the machine that runs this test
    assert not re.search(r"""(?<!\$root)(?<!\$root")/(etc|home|root|run|usr|var)\b""", script)
    forgotten = [
        "etc/ssh/ssh_host_ed25519_key", "var/lib/systemd/random-seed", "root/.bash_history",
        "root/.ssh/authorized_keys", "home/debian/.bash_history", "home/debian/.ssh/authorized_keys",
        "home/a b/.ssh/authorized_keys",
        "var/log/journal/abc/system.journal", "var/log/syslog.log", "var/lib/chrony/drift",
    ]  # fmt: skip
    kept = ["etc/ssh/sshd_config", "home/debian/.bashrc", "root/.profile", "etc/machine-id"]
    for name in (*forgotten, *kept):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("it is me")
    for program in ("cloud-init", "fstrim", "sync"):  # of this machine
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", code], env=env, check=True, timeout=30)
    left = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert left == set(kept)
    assert (root / "etc/machine-id").read_text() == ""


@needs_packer
@pytest.mark.parametrize("builder", BUILDERS)
def test_the_template_of_each_cloud_is_valid(builder: str) -> None:
    done = validate(f"-only={builder}.*")
    assert done.returncode == 0, done.stdout + done.stderr


@needs_packer
def test_a_wrong_value_is_not_valid() -> None:
    done = validate("-only=amazon-ebs.*", "-var", "provision=[7]", "-var", "unknown=1")
    assert done.returncode != 0


def test_each_builder_has_its_plugin_for_later_packers() -> None:
    plugins = (CLOUDS / "plugins" / "plugins.pkr.hcl").read_text()
    named = set(re.findall(r"^    ([a-z]+) = \{", plugins, re.MULTILINE))
    assert {builder.partition("-")[0] for builder in BUILDERS} | {"qemu"} == named


@pytest.mark.parametrize("file", [*TEMPLATES.glob("*.pkr.hcl"), *CLOUDS.glob("*.pkr.hcl")], ids=lambda path: path.name)
def test_templates_keep_to_what_both_packers_know(file: Path) -> None:
    code = "\n".join(line.partition("#")[0] for line in file.read_text().splitlines())
    assert "required_plugins" not in code
    assert not AT_FIRST_FROM & set(re.findall(r"^\s*([a-z_]+)\s*=", code, re.MULTILINE))


def test_the_clouds_run_the_steps_of_the_local_bake() -> None:
    local, clouds = (
        re.findall(r"scripts/([a-z-]+\.sh)", file.read_text())
        for file in (TEMPLATES / "appliance.pkr.hcl", CLOUDS / "clouds.pkr.hcl")
    )
    assert local == clouds


def test_no_boot_sleeps_before_it_looks_for_its_disk() -> None:
    """Debian's initramfs sleeps for `rootdelay` in full, and waits 30 s for a late disk without it."""
    menu = (layin.LAID_IN / "disk/root/boot/grub/grub.cfg").read_text()
    lines = [line for line in menu.splitlines() if line.strip().startswith("linux ")]
    assert lines
    assert not any("delay" in line for line in lines)
