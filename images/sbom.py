"""The bill of materials in the two forms that scanners read: SPDX 2.3 and CycloneDX 1.6, both as JSON."""

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from images.inventory import Kind, Package

NAMESPACE = uuid.UUID("0b8e0b56-3f5c-4f0e-9a2b-7d1f6f4f3c55")
NOT_SAID = "NOASSERTION"
TOOL = "larva"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What the bill is of.

    Args:
        source: the stage that the disk came from; it names the bill, too.
        epoch: Unix seconds.
    """

    name: str
    version: str
    suite: str
    source: str
    epoch: int
    packages: tuple[Package, ...]

    @property
    def created(self) -> str:
        """The image's time, as both forms want it."""
        return datetime.fromtimestamp(self.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def urn(self) -> str:
        """A name that no other image's bill has."""
        return uuid.uuid5(NAMESPACE, f"{self.name}/{self.version}/{self.source}").urn


def spdx(image: Image) -> dict[str, Any]:
    """Return the bill as SPDX 2.3 (spdx.github.io/spdx-spec/v2.3)."""
    refs = {name: _reference(name) for one in image.packages for name in one.licences}
    described = {
        "SPDXID": "SPDXRef-image", "name": image.name, "versionInfo": image.version, "downloadLocation": NOT_SAID,
        "filesAnalyzed": False, "licenseConcluded": NOT_SAID, "licenseDeclared": "Apache-2.0",
        "copyrightText": NOT_SAID, "primaryPackagePurpose": "OPERATING-SYSTEM",
    }  # fmt: skip
    packages = [_spdx_package(one, image.suite, refs) for one in image.packages]
    return {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": image.name,
        "documentNamespace": image.urn,
        "creationInfo": {"created": image.created, "creators": [f"Tool: {TOOL}-{image.version}"]},
        "packages": [described, *packages],
        "relationships": [
            _related("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image"),
            *(_related("SPDXRef-image", "CONTAINS", one["SPDXID"]) for one in packages),
        ],
        "hasExtractedLicensingInfos": [
            {"licenseId": reference, "name": name, "extractedText": f"What the packager calls {name}"}
            for name, reference in sorted(refs.items(), key=lambda pair: pair[1])
        ],
    }  # fmt: skip


def cyclonedx(image: Image) -> dict[str, Any]:
    """Return the bill as CycloneDX 1.6 (cyclonedx.org/docs/1.6/json)."""
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": image.urn, "version": 1,
        "metadata": {
            "timestamp": image.created,
            "tools": {"components": [{"type": "application", "name": TOOL, "version": image.version}]},
            "component": {
                "type": "operating-system", "bom-ref": "image", "name": image.name, "version": image.version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": [_component(one, image.suite) for one in image.packages],
        "dependencies": [{"ref": "image", "dependsOn": [one.purl(image.suite) for one in image.packages]}],
    }  # fmt: skip


def _related(element: str, how: str, other: str) -> dict[str, str]:
    return {"spdxElementId": element, "relationshipType": how, "relatedSpdxElement": other}


def _spdx_package(package: Package, suite: str, refs: dict[str, str]) -> dict[str, Any]:
    found = {
        "SPDXID": f"SPDXRef-{package.kind}-{_safe(package.name)}", "name": package.name,
        "versionInfo": package.version, "downloadLocation": NOT_SAID, "filesAnalyzed": False,
        "licenseConcluded": NOT_SAID, "copyrightText": NOT_SAID,
        "licenseDeclared": " AND ".join(sorted({refs[name] for name in package.licences})) or NOT_SAID,
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": package.purl(suite)}
        ],
    }  # fmt: skip
    if package.sha256:
        found["checksums"] = [{"algorithm": "SHA256", "checksumValue": package.sha256}]
    if package.home.startswith(("http://", "https://")):
        found["homepage"] = package.home
    if package.source:
        found["sourceInfo"] = f"built from source package {package.source}"
    return found


def _component(package: Package, suite: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "application" if package.kind is Kind.DEBIAN else "library",
        "bom-ref": package.purl(suite), "name": package.name, "version": package.version,
        "purl": package.purl(suite),
    }  # fmt: skip
    if package.sha256:
        found["hashes"] = [{"alg": "SHA-256", "content": package.sha256}]
    if package.licences:
        found["licenses"] = [{"license": {"name": name}} for name in package.licences]
    if package.home.startswith(("http://", "https://")):
        found["externalReferences"] = [{"type": "website", "url": package.home}]
    if package.source:
        found["properties"] = [{"name": "larva:source", "value": package.source}]
    return found


def _reference(name: str) -> str:
    return f"LicenseRef-{_safe(name)}"


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", lambda odd: "".join(f"-{ord(letter):x}-" for letter in odd[0]), name)
