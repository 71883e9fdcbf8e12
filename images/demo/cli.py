"""`larva demo`: the whole idea on three clouds of one machine."""

from pathlib import Path

import click

from images.clouds.lab import topology_toml
from images.clouds.lab.cli import COMMANDS, run_option
from images.clouds.lab.lab import Lab
from images.clouds.lab.state import check_run_id
from images.demo import prove as proof
from images.demo.story import Story
from images.demo.up import Demo, bring_up
from larva import output, process
from larva.errors import Conflict, InvalidInput, LarvaError

CONSOLE_PORT = 8443
DEFAULT_RUN = "demo"


@click.group()
def demo() -> None:
    """Bring the appliance up on the lab cloud, look into it, break it, take it down."""


for command in COMMANDS:
    demo.add_command(command)


def _writable(_context: click.Context, _parameter: click.Parameter, file: Path | None) -> Path | None:
    """Say before minutes of work, not after, that its report would have no place."""
    if file is not None and not file.absolute().parent.is_dir():
        raise InvalidInput(
            f"there is no directory {file.absolute().parent}", hint="make it first, or name another file"
        )
    return file


topology_option = click.option(
    "--topology",
    "topology_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What the lab looks like; the seed's three clouds without it.",
)
story_option = click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_writable,
    help="Write the steps here.",
)


@demo.command()
@topology_option
@click.option("--run", "run_id", default=DEFAULT_RUN, show_default=True, metavar="ID", help="The lab's name.")
@click.option("--rtt", is_flag=True, help="With the real distances between the clouds.")
@click.option("--replace", is_flag=True, help="Take a lab of that name down first.")
@click.option("--vm", is_flag=True, help="Three virtual machines of the image's disk, each on its own kernel.")
@story_option
def up(*, topology_file: Path | None, run_id: str, rtt: bool, replace: bool, vm: bool, json_file: Path | None) -> None:
    """Build the image if it is not there, launch it on the lab's clouds, and bring network, storage and a volume up."""
    process.require_root("the lab")
    if vm and topology_file:
        raise click.UsageError('give --vm or --topology, not both: a topology says `kind = "vm"` itself')
    shipped = topology_toml.virtual if vm else topology_toml.default
    plan = topology_toml.load(topology_file) if topology_file else shipped()
    check_run_id(run_id)
    if any(lab.run_id == run_id for lab in Lab.all()):
        if not replace:
            raise Conflict(
                f"a lab {run_id} is there already", hint="--replace takes it down first, --run gives the new one a name"
            )
        with output.step(f"lab {run_id}: the one that was up is taken down"):
            Lab(run_id).destroy()
    story = Story()
    try:
        running = bring_up(plan, run_id=run_id, rtt=rtt, story=story)
    except LarvaError:
        if any(lab.run_id == run_id for lab in Lab.all()) and len(story.steps) > 2:
            output.note(f"the lab is kept for a look; `larva demo down --run {run_id}` removes it")
        raise
    finally:
        if json_file is not None:
            story.write(json_file)
    _show_console(running)


@demo.command()
@run_option
@topology_option
@click.option("--half", type=click.Choice(["without", "with"]), help="Only one half: without the overlay, or with it.")
@story_option
def prove(*, run_id: str | None, topology_file: Path | None, half: str | None, json_file: Path | None) -> None:
    """Prove what the overlay is for: Ceph over three clouds fails without it and works with it.

    The half without it runs in a lab of its own. The other half uses the demo that is up.
    """
    process.require_root("the lab")
    plan = topology_toml.load(topology_file) if topology_file else topology_toml.default()
    running = Demo(Lab.find(run_id)) if half != "without" else None
    story = Story()
    try:
        if half != "with":
            proof.without_overlay(story, plan)
        if running is not None:
            proof.over_cladnet(story, running)
    finally:
        if json_file is not None:
            story.write(json_file)
    seconds = sum(step.seconds for step in story.steps)
    output.note(f"proved: {len(story.steps)} steps in {seconds:.0f} s")
    if running is not None:
        _show_console(running)


def _show_console(running: Demo) -> None:
    """Open the console's way from the loopback interface and say how to log in."""
    port = running.lab.forward(running.control.name, CONSOLE_PORT)
    first = running.ask("console", "first-run")
    output.note(f"console: https://127.0.0.1:{port}/  user {first['user']}  password {first['password']}")
    which = f"--run {running.lab.run_id}"
    output.note(f"look around: `larva demo status`, `larva demo exec {which} {running.storage[0].name} -- ceph -s`")
    output.note(f"the end: `larva demo down {which}`")
