"""Commands of `larva demo` for the clouds themselves: what is up, get in, cut off, join again, take down."""

import os
import sys

import click

from images.clouds.lab.lab import Lab
from images.clouds.lab.status import LabStatus
from larva import output, process
from larva.errors import LarvaError

run_option = click.option("--run", "run_id", metavar="ID", help="Which lab; not needed while only one is up.")


@click.command()
@run_option
@click.option("--all", "all_labs", is_flag=True, help="Every lab of this machine.")
def down(*, run_id: str | None, all_labs: bool) -> None:
    """Take a lab down and remove all that it made."""
    process.require_root("taking a lab down")
    if all_labs and run_id:
        raise click.UsageError("give --run ID or --all, not both")
    labs = Lab.all() if all_labs else _one_even_half_made(run_id)
    failures: list[LarvaError] = []
    for lab in labs:
        try:
            with output.step(f"lab {lab.run_id} down"):
                lab.destroy()
        except LarvaError as error:
            failures.append(error)
    if not labs:
        output.note("no lab is up")
    if failures:
        raise failures[0]


@click.command()
@run_option
@output.json_option
def status(*, run_id: str | None, as_json: bool) -> None:
    """Show the labs of this machine and their hosts."""
    process.require_root("looking into labs")
    found = [lab.status() for lab in ([Lab.find(run_id)] if run_id else Lab.all())]
    if as_json:
        output.show_json(found)
        return
    if not found:
        output.note("no lab is up")
    for lab in found:
        _show(lab)


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@run_option
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(*, run_id: str | None, host: str, command: tuple[str, ...]) -> None:
    """Run a command as root on HOST, with this terminal's input and outputs and the command's exit code."""
    process.require_root("entering a lab's machine")
    words = command[1:] if command[0] == "--" else command
    sys.exit(Lab.find(run_id).machine(host).attach(words))


@click.command()
@run_option
@click.option("--user", default="debian", show_default=True, help="The account; cloud-init gave it the lab's key.")
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(*, run_id: str | None, user: str, host: str, command: tuple[str, ...]) -> None:
    """Open a shell on HOST by ssh, or run a command there."""
    process.require_root("entering a lab's network")
    process.require_programs("ssh", "nsenter")
    words = [*Lab.find(run_id).ssh_command(host, user=user), *command]
    os.execvp(words[0], words)  # noqa: S606 - ssh takes this process's terminal over


@click.command()
@run_option
@click.argument("cloud")
def cut(*, run_id: str | None, cloud: str) -> None:
    """Cut CLOUD off from all others."""
    process.require_root("cutting a cloud off")
    Lab.find(run_id).cut(cloud)


@click.command()
@run_option
@click.argument("cloud")
def heal(*, run_id: str | None, cloud: str) -> None:
    """Join CLOUD again after `cut`."""
    process.require_root("joining a cloud")
    Lab.find(run_id).heal(cloud)


@click.command()
@run_option
@click.argument("switch", type=click.Choice(["on", "off"]))
def rtt(*, run_id: str | None, switch: str) -> None:
    """Put the topology's round-trip times between the clouds, or take them away, while everything runs."""
    process.require_root("changing the distance between clouds")
    Lab.find(run_id).rtt(switch == "on")


@click.command()
@run_option
@click.option("--hard", is_flag=True, help="Pull the plug instead of shutting down.")
@click.argument("host")
def off(*, run_id: str | None, hard: bool, host: str) -> None:
    """Switch HOST off; its disks stay."""
    process.require_root("switching a machine off")
    Lab.find(run_id).machine(host).power_off(hard=hard)


@click.command()
@run_option
@click.argument("host")
def on(*, run_id: str | None, host: str) -> None:
    """Switch HOST on again after `off`."""
    process.require_root("switching a machine on")
    Lab.find(run_id).machine(host).power_on()


COMMANDS: tuple[click.Command, ...] = (down, status, exec_, ssh, cut, heal, rtt, off, on)
"""What `larva demo` takes over."""


def _one_even_half_made(run_id: str | None) -> tuple[Lab, ...]:
    """Return the lab that is to go: `find` would not see one whose creator was killed before its state was written."""
    labs = Lab.all()
    if run_id is None and len(labs) <= 1:
        return labs
    named = tuple(lab for lab in labs if lab.run_id == run_id)
    return named or (Lab.find(run_id),)


def _show(lab: LabStatus) -> None:
    words = [f"lab {lab.run_id}", str(lab.phase), f"latencies {'on' if lab.rtt else 'off'}"]
    words += [f"cut off: {', '.join(lab.cut)}"] if lab.cut else []
    click.echo(" · ".join(words))
    output.show_table(
        ["host", "state", "cloud", "provider", "region", "roles", "private", "public"],
        [
            [h.name, h.state, h.cloud, h.provider, h.region, ",".join(h.roles), h.private, h.public]
            for h in lab.hosts
        ],
    )  # fmt: skip
    for way in lab.forwards:
        click.echo(f"127.0.0.1:{way.listen} → {way.host}:{way.port}")
