"""Where an image comes from: an in-toto statement with a SLSA v1 provenance predicate.

Source: in-toto Attestation Framework, Statement v1; slsa.dev/spec/v1.0/provenance.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from images.artifact import Artifact
from images.inventory import Kind, Package
from images.provisioning import Script
from images.stages import Stage

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:larva:image:v1"
BUILDER = "urn:larva:image-build"
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(?: ;[^\n]*?)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)", re.MULTILINE)
"""A requirement with its hashes, as pip-tools and uv write lock files."""


def statement(
    artifacts: Sequence[Artifact], *, profile: str, provision: Sequence[Script], stages: Sequence[Stage],
    packages: Sequence[Package], suite: str, lock: Path,
) -> dict[str, Any]:  # fmt: skip
    """Return the statement.

    Args:
        artifacts: what it is about.
        provision: the user's scripts, as they ran and in that order.
        stages: those the artifacts were made by, with all that they depend on.
        packages: what was put together; Debian's by the hash of each, Python's by the hashes that were allowed.
        lock: the lock file with these hashes.
    """
    allowed = hashes(lock.read_text())
    ran = [{"name": one.name, "digest": {"sha256": one.sha256}} for one in provision]
    return {
        "_type": STATEMENT,
        "subject": [{"name": one.name, "digest": {"sha256": one.sha256}} for one in artifacts],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"profile": profile, "provision": ran},
                "internalParameters": {f"{one.name}/{one.id}": dict(sorted(one.inputs.items())) for one in stages},
                "resolvedDependencies": [
                    *ran,
                    *(_dependency(one, suite, allowed) for one in packages),
                ],
            },
            "runDetails": {"builder": {"id": BUILDER}, "metadata": {"invocationId": stages[-1].id if stages else ""}},
        },
    }  # fmt: skip


def hashes(lock: str) -> dict[str, tuple[str, ...]]:
    """Return the SHA-256 digests that a lock file allows for each distribution, by its normalised name (PEP 503)."""
    return {
        normalised(name): tuple(re.findall(r"sha256:([0-9a-f]{64})", digests))
        for name, _, digests in PINNED.findall(lock)
    }


def normalised(name: str) -> str:
    """Return the name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _dependency(package: Package, suite: str, allowed: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    found: dict[str, Any] = {"uri": package.purl(suite)}
    if package.sha256:
        found["digest"] = {"sha256": package.sha256}
    if package.kind is Kind.PYTHON and (digests := allowed.get(normalised(package.name))):
        found["annotations"] = {"allowed-sha256": list(digests)}
    return found
