"""The disk formats by the names that targets use."""

from collections.abc import Mapping

from images.formats.format import Format
from images.formats.gce_tar import GceTar
from images.formats.ova import Ova
from images.formats.qcow2 import Qcow2
from images.formats.qcow2_zstd import Qcow2Zstd
from images.formats.raw import Raw
from images.formats.vhd import Vhd

FORMATS: Mapping[str, Format] = {
    "gce-tar": GceTar(),
    "ova": Ova(),
    "qcow2": Qcow2(),
    "qcow2-zstd": Qcow2Zstd(),
    "raw": Raw(),
    "vhd": Vhd(),
}
