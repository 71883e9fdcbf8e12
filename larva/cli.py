"""The command `larva`: finds its sub-commands by entry point and turns errors into messages and exit codes."""

import os
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn

import click

from larva import __version__, exits, log
from larva.errors import InvalidInput

COMMANDS = "larva.commands"


class EntryPointGroup(click.Group):
    """A click group whose commands are the installed entry points; each is loaded when it is asked for."""

    def _found(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=COMMANDS)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._found()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        point = self._found().get(cmd_name)
        if point is None:
            return super().get_command(ctx, cmd_name)
        command = point.load()
        if not isinstance(command, click.Command):
            raise TypeError(f"entry point {point.value} is not a click command")
        return command


@click.group(cls=EntryPointGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="larva")
@click.option("--debug", is_flag=True, envvar="LARVA_DEBUG", help="Show tracebacks and every program that is run.")
def larva(*, debug: bool) -> None:
    """One network and one storage for VMs of different clouds."""
    if debug:
        os.environ["LARVA_DEBUG"] = "1"
    log.set_up(debug=debug)


def main() -> NoReturn:
    """Run `larva`."""
    exits.ending(_run)


def _run() -> object:
    try:
        return larva.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as abort:
        if isinstance(abort.__context__, EOFError):  # click says the same for it and for an interruption
            exits.fail(
                InvalidInput(
                    "a question has to be answered, and standard input has ended",
                    hint="run it in a terminal, or with the option that answers, such as --yes (see --help)",
                )
            )
        exits.stopped()
