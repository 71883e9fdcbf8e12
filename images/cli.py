"""`larva image`: build, verify, show and prune images."""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from images import artifacts, lock, mirror, recipe, resolve, seal, verify
from images.export import exporting, targets
from images.firmware import Firmware
from images.lock_choice import Mode
from images.packages import Packages
from images.pipeline import Pipeline, Until
from images.recipe import Recipe
from images.stages import KEPT, Cache
from larva import output, settings
from larva.errors import Conflict

profile_option = click.option(
    "--profile", default="full", show_default=True, help=f"What is in it: {', '.join(recipe.profiles())}."
)


@click.group()
def image() -> None:
    """Build the appliance's image, test it and show it."""


@image.command()
@profile_option
@click.option(
    "--until",
    type=click.Choice([one.value for one in Until]),
    default=Until.ARTIFACTS.value,
    show_default=True,
    help="Stop there.",
)
@click.option(
    "--provision", multiple=True, type=click.Path(dir_okay=False, path_type=Path), metavar="SCRIPT",
    help="Run this as root in the booted image before it is sealed; may be repeated.",
)  # fmt: skip
@click.option(
    "--lock", "lock_mode", type=click.Choice([one.value for one in Mode]), default=Mode.STRICT.value, show_default=True,
    help="Where a locked package cannot be had any more: fail, or resolve anew for this machine only.",
)  # fmt: skip
def build(*, profile: str, until: str, provision: tuple[Path, ...], lock_mode: str) -> None:
    """Build an image of the locked packages; what did not change is taken from the cache."""
    made = Pipeline(profile, provision=provision, lock=Mode(lock_mode)).build(Until(until))
    click.echo(made)


@image.command(name="lock")
@click.option("--profile", "names", multiple=True, help="Only this one; may be repeated. All, and the tools, without.")
@click.option("--check", is_flag=True, help="Write nothing; end with 1 if there is something to update.")
def lock_command(*, names: tuple[str, ...], check: bool) -> None:
    """Lock the packages of the recipes at the versions that the mirror has now, and show what is new."""
    differ = renew([recipe.load(name) for name in names or recipe.profiles()] + [recipe.tools()], write=not check)
    if check and differ:
        raise Conflict("the mirror has other packages than the locks", hint="run `larva image lock`")


@image.command()
@profile_option
def update(*, profile: str) -> None:
    """Lock the newest packages of a profile and build its image of them."""
    renew([recipe.load(profile), recipe.tools()], write=True)
    click.echo(Pipeline(profile, lock=Mode.STRICT).build(Until.ARTIFACTS))


def renew(recipes: Sequence[Recipe], *, write: bool) -> bool:
    """Resolve recipes, print what differs from their locks, and write them; return whether anything differs."""
    where, differ = mirror.of_this_host(), False
    with TemporaryDirectory() as scratch:
        apts: dict[str, resolve.Apt] = {}
        for one in recipes:
            if one.suite not in apts:
                with output.step(f"what the mirror has for {one.suite}"):
                    apts[one.suite] = resolve.Apt(where, one.suite, Path(scratch, one.suite))
                    apts[one.suite].update()
            with output.step(f"the packages of {one.name}"):
                found = apts[one.suite].resolve(one)
            file = lock.committed(one)
            old = lock.read(file) if file.is_file() else None
            changes = lock.compare(old, found)
            differ = differ or old != found
            click.echo(f"{one.name}: {len(found.packages)} packages, {len(changes)} differ from the lock")
            for change in changes if old else ():
                click.echo(f"  {change}")
            if write and old != found:
                lock.write(file, found)
    return differ


@image.command(name="verify")
@profile_option
@click.option(
    "--firmware", type=click.Choice([one.value for one in Firmware]), default=Firmware.BIOS.value, show_default=True
)
@click.option("--tree-only", is_flag=True, help="Do not boot it.")
def verify_command(*, profile: str, firmware: str, tree_only: bool) -> None:
    """Test the root tree, and the built image by booting it."""
    pipeline = Pipeline(profile)
    root = pipeline.make_tree()
    with output.step("tests of the tree"):
        printed = verify.check_tree(root)
    click.echo(printed.strip().splitlines()[-1])
    if tree_only:
        return
    with output.step("signature and hashes of the artifacts"):
        artifacts.read(pipeline.published, profile)
    with output.step(f"tests of the booted image ({firmware})"):
        report = pipeline.boot_published(Firmware(firmware))
    click.echo(f"{report.summary}; ssh after {report.ssh_s:.0f} s of the guest's time ({report.accelerator})")


@image.command(name="verify-signature")
@click.argument("place", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--key", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The publisher's public key; this machine's own without it.",
)  # fmt: skip
def verify_signature(*, place: Path, key: Path | None) -> None:
    """Check a directory of artifacts, or one file of it, against its signed checksums."""
    directory, only = (place, ()) if place.is_dir() else (place.parent, (place.name,))
    comment = seal.check(directory, key or seal.public_key(settings.config_directory()), only=only)
    click.echo(f"signed: {comment}")


@image.command()
@profile_option
@output.json_option
def show(*, profile: str, as_json: bool) -> None:
    """Show what the built image of a profile consists of."""
    recipe.load(profile)
    place = settings.cache_directory() / "images" / profile
    manifest = artifacts.read(place, profile)
    if as_json:
        output.show_json(manifest)
        return
    click.echo(
        f"{manifest.profile} {manifest.version}, Debian {manifest.suite}, {manifest.disk_bytes >> 20} MiB disk, "
        f"{len(manifest.packages)} packages, {len(manifest.python)} Python distributions, from {manifest.source}, "
        f"{'as locked' if manifest.locked else 'not from the committed lock'} ({manifest.lock})"
    )
    output.show_table(
        ["file", "MiB", "sha256"],
        [[place / one.name, f"{one.bytes / (1 << 20):.1f}", one.sha256] for one in manifest.artifacts],
    )


@image.command()
@profile_option
@click.option(
    "--for", "names", multiple=True, required=True, metavar="TARGET",
    help=f"Where it goes: {', '.join(targets.load())}, or {targets.ALL}; may be repeated.",
)  # fmt: skip
@click.option(
    "--to",
    "place",
    type=click.Path(file_okay=False, path_type=Path),
    help="Copy the files there, a directory a target.",
)
@output.json_option
def export(*, profile: str, names: tuple[str, ...], place: Path | None, as_json: bool) -> None:
    """Write the built image in the form that providers take, checked byte by byte, with a page on launching it."""
    chosen = targets.chosen(names)
    found = exporting.export(profile, chosen, settings.cache_directory())
    if place is not None:
        found = {exporting.copy(made, exported, place): exported for made, exported in found.items()}
    if as_json:
        output.show_json(list(found.values()))
        return
    output.show_table(
        ["target", "file", "MiB", "sha256"],
        [
            [one.target, made / one.file.name, f"{one.file.bytes / (1 << 20):.1f}", one.file.sha256]
            for made, one in found.items()
        ],
    )


@image.command()
@click.option("--keep", type=click.IntRange(min=0), default=KEPT, show_default=True, help="Entries kept of each stage.")
def prune(*, keep: int) -> None:
    """Remove old results of stages, never one that a build or a lab uses, and packages that no build asks for."""
    removed = Cache(settings.cache_directory() / "stages").prune(keep=keep)
    removed += Packages(settings.cache_directory() / "packages").prune(now=time.time())
    for entry in removed:
        click.echo(f"removed {entry}")
    if not removed:
        click.echo("nothing to remove")
