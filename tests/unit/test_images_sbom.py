"""Bills of materials and provenance: valid for the tools that read them, and complete."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st
from packageurl import PackageURL
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from images import inventory, provenance, python, sbom
from images.artifact import Artifact
from images.inventory import Kind, Package
from images.provisioning import Script
from images.stages import Stage
from larva import codec

PACKAGES = (
    Package(
        kind=Kind.DEBIAN, name="libstdc++6", version="14.2.0-19", licences=("GPL-3+ with GCC exception", "LGPL-2.1+"),
        source="gcc-14 14.2.0-19", home="http://gcc.gnu.org/",
    ),
    Package(kind=Kind.DEBIAN, name="ceph-osd", version="18.2.7+ds-1", licences=("LGPL-2.1",), source="ceph 18.2.7",
            sha256="c" * 64),
    Package(kind=Kind.DEBIAN, name="netbase", version="1:6.5", licences=()),
    Package(kind=Kind.PYTHON, name="msgspec", version="0.19.0", licences=("BSD License",), home="https://example.org/"),
    Package(kind=Kind.PYTHON, name="PyNaCl", version="1.5.0", licences=("Apache-2.0",), home="not an address"),
    Package(kind=Kind.JAVASCRIPT, name="cytoscape", version="3.35.0", licences=("MIT",)),
)  # fmt: skip


def image(packages: tuple[Package, ...] = PACKAGES) -> sbom.Image:
    return sbom.Image(
        name="larva-1-full-amd64", version="1", suite="trixie", source="disk/abc", epoch=1_767_225_600,
        packages=packages,
    )  # fmt: skip


def spdx_faults(document: object, place: Path) -> list[str]:
    file = place / "bill.spdx.json"
    file.write_bytes(codec.encode(document))
    return [fault.validation_message for fault in validate_full_spdx_document(parse_file(str(file)))]


def cyclonedx_fault(document: object) -> object:
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(codec.encode(document).decode())


def test_spdx_is_valid_and_names_every_package(tmp_path: Path) -> None:
    document = sbom.spdx(image())
    assert spdx_faults(document, tmp_path) == []
    assert {one["name"] for one in document["packages"]} == {one.name for one in PACKAGES} | {"larva-1-full-amd64"}
    sums = [one["checksums"] for one in document["packages"] if "checksums" in one]
    assert sums == [[{"algorithm": "SHA256", "checksumValue": "c" * 64}]]
    assert len({one["SPDXID"] for one in document["packages"]}) == len(PACKAGES) + 1


def test_cyclonedx_is_valid_and_names_every_package() -> None:
    document = sbom.cyclonedx(image())
    assert cyclonedx_fault(document) is None
    assert [one["purl"] for one in document["components"]] == [one.purl("trixie") for one in PACKAGES]
    hashes = [one["hashes"] for one in document["components"] if "hashes" in one]
    assert hashes == [[{"alg": "SHA-256", "content": "c" * 64}]]
    assert document["components"][0]["properties"] == [{"name": "larva:source", "value": "gcc-14 14.2.0-19"}]


def test_validators_would_notice(tmp_path: Path) -> None:
    wrong = sbom.spdx(image())
    wrong["packages"][1]["licenseDeclared"] = "LicenseRef-never-explained"
    assert spdx_faults(wrong, tmp_path)
    assert cyclonedx_fault(sbom.cyclonedx(image()) | {"serialNumber": "x"}) is not None


def test_the_same_image_has_the_same_bill_and_another_has_another() -> None:
    assert sbom.spdx(image()) == sbom.spdx(image())
    other = sbom.Image(name="larva-1-full-amd64", version="1", suite="trixie", source="disk/def", epoch=0, packages=())
    assert other.urn != image().urn


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.builds(
            Package, kind=st.sampled_from(Kind), name=st.from_regex(r"[a-z0-9][a-z0-9+.-]{0,12}", fullmatch=True),
            version=st.from_regex(r"([0-9]:)?[0-9][A-Za-z0-9.+~-]{0,8}", fullmatch=True),
            licences=st.lists(st.text(min_size=1, max_size=20).map(str.strip).filter(bool), max_size=3).map(tuple),
            source=st.text(max_size=10), home=st.sampled_from(["", "https://example.org/a"]),
        ),
        max_size=4, unique_by=lambda one: (one.kind, one.name.lower().replace("_", "-")),
    )
)  # fmt: skip
def test_whatever_packagers_call_their_licences_the_bill_is_valid(packages: list[Package]) -> None:
    of = image(tuple(packages))
    assert cyclonedx_fault(sbom.cyclonedx(of)) is None
    ids = [one["SPDXID"] for one in sbom.spdx(of)["packages"]]
    assert len(set(ids)) == len(ids)
    for one in packages:
        read = PackageURL.from_string(one.purl("trixie"))
        assert read.version == one.version


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Format: https://x\n\nFiles: *\nLicense: GPL-2+\n text\n\nLicense:  MIT \n more\n", ("GPL-2+", "MIT")),
        ("It is under /usr/share/common-licenses/GPL-2. See /usr/share/common-licenses/LGPL.", ("GPL-2", "LGPL")),
        ("All rights reversed.", ()),
        ("", ()),
        ("Format: x\nLicense:\n nothing on the first line\n", ()),
    ],
)
def test_licences_are_read_from_debian_s_copyright_files(text: str, names: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "copyright").write_text(text)
    assert inventory.licences(tmp_path / "copyright") == names


def test_a_shared_copyright_file_is_found_and_no_link_leads_out_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "libfoo1").mkdir()
    (tmp_path / "libfoo1" / "copyright").write_text("Format: x\nLicense: MIT\n")
    (tmp_path / "foo").symlink_to("libfoo1")
    assert inventory.licences(tmp_path / "foo" / "copyright") == ("MIT",)
    (tmp_path / "bar").symlink_to("/etc")
    assert inventory.licences(tmp_path / "bar" / "copyright") == ()
    (tmp_path / "baz").mkdir()
    (tmp_path / "baz" / "copyright").symlink_to("/etc/passwd")
    assert inventory.licences(tmp_path / "baz" / "copyright") == ()


def test_provenance_names_what_was_made_and_of_what() -> None:
    stage = Stage(name="disk", family="full", inputs={"tree": "abc"}, needs_mib=1, make=lambda place, log: None)
    scripts = [Script("b.sh", b"first"), Script("a.sh", b"2"), Script("b.sh", b"3")]
    made = provenance.statement(
        [Artifact(name="larva.qcow2", bytes=5, sha256="a" * 64)], profile="full", provision=scripts, stages=[stage],
        packages=PACKAGES, suite="trixie", lock=python.LOCK,
    )  # fmt: skip
    assert made["subject"] == [{"name": "larva.qcow2", "digest": {"sha256": "a" * 64}}]
    build = made["predicate"]["buildDefinition"]
    assert build["internalParameters"] == {f"disk/{stage.id}": {"tree": "abc"}}
    by_uri = {one["uri"]: one for one in build["resolvedDependencies"] if "uri" in one}
    assert by_uri["pkg:deb/debian/netbase@1%3A6.5?arch=amd64&distro=trixie"]
    assert by_uri["pkg:deb/debian/ceph-osd@18.2.7%2Bds-1?arch=amd64&distro=trixie"]["digest"] == {"sha256": "c" * 64}
    ran = build["externalParameters"]["provision"]
    assert [one["name"] for one in ran] == ["b.sh", "a.sh", "b.sh"]
    assert ran[0]["digest"] == {"sha256": hashlib.sha256(b"first").hexdigest()}
    assert [one for one in build["resolvedDependencies"] if "uri" not in one] == ran
    assert by_uri["pkg:pypi/pynacl@1.5.0"]["annotations"]["allowed-sha256"]
    assert json.loads(codec.encode(made)) == made


def test_every_locked_distribution_has_its_hashes() -> None:
    lock = python.LOCK.read_text()
    found = provenance.hashes(lock)
    assert len(found) == len(re.findall(r"^[A-Za-z0-9]", lock, re.MULTILINE))
    assert sum(len(digests) for digests in found.values()) == lock.count("--hash=sha256:")
