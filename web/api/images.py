"""The appliance's images that this console hands out."""

from web import image_shelf
from web.api.routing import Listing, Routes
from web.downloads import MEDIA_TYPE, Download
from web.image_shelf import OfferedImage
from web.roles import Right

routes = Routes("images")


def _name(image: OfferedImage) -> tuple[str, ...]:
    return (image.id,)


@routes.get("/images", Right.OWN, listing=Listing(name="images", order=_name))
def list_all() -> tuple[OfferedImage, ...]:
    """Every image, with its files and how it is launched; one that is not as it was signed with the reason."""
    return image_shelf.of_this_console().offered()


@routes.get("/images/<image>", Right.OWN)
def show(image: str) -> OfferedImage:
    """One image."""
    return image_shelf.of_this_console().find(image)


@routes.get("/images/<image>/files/<file>", Right.OWN, media_type=MEDIA_TYPE)
def download(image: str, file: str) -> Download:
    """A file of an image, compared with what was signed before a byte of it is sent.

    `SHA256SUMS` and `SHA256SUMS.minisig` are files of each image, too.
    """
    return image_shelf.of_this_console().open(image, file)
