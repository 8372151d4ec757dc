"""UIDs of results: the same content has the same UIDs, any other content has others.

All are of the form 2.25.<128-bit number> (PS3.5 B.2), the number being the first half of a SHA-256 over what the UID
stands for. What names a result object (its instance, its series, its dimensions) stands for the bytes of that object:
it is written with placeholders first, and named after the digest of what was written. So nothing that reaches the
bytes can be forgotten: not the outline, which differs with a processor's arithmetic, and not a library's version.
What names a thing that outlives one result (a tracked region, a model, this device) stands for that thing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

from bt_node.domain.tumour import Findings, Region, ReleaseIdentity

_NAMESPACE = "bt-node"


def derived_uid(*parts: str) -> str:
    """The UID that stands for `parts` (order matters, and the border between two parts does too)."""
    text = "".join(f"{len(part)}:{part}" for part in (_NAMESPACE, *parts))
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], 'big')}"


# Stand in an object for its own UIDs until these are known.
PLACEHOLDERS: Mapping[str, str] = MappingProxyType(
    {purpose: derived_uid("placeholder", purpose) for purpose in ("instance", "series", "dimensions")}
)


def release_uid(release: ReleaseIdentity) -> str:
    """DeviceUID of a model: a new one whenever name, version or weights change (IHE AIR)."""
    return derived_uid("release", release.name, release.version, release.weights_sha256)


def tracking_uid(study_instance_uid: str, region: Region) -> str:
    """Tracking UID of one region of one study: the same in SEG and SR, and the same for later model versions."""
    return derived_uid("tracking", study_instance_uid, region.value)


def content_uids(content: bytes) -> Mapping[str, str]:
    """The UIDs of an object that was written with `PLACEHOLDERS`: by placeholder, derived from all that it says.

    Args:
        content: the whole Part 10 file, placeholders in it.
    """
    digest = hashlib.sha256(content).hexdigest()
    return {placeholder: derived_uid("content", purpose, digest) for purpose, placeholder in PLACEHOLDERS.items()}


def releases_of(findings: Findings) -> tuple[ReleaseIdentity, ...]:
    """The models that spoke: the segmenter, and the classifier where there is one."""
    classifier = (findings.tumour_type.release,) if findings.tumour_type else ()
    return (findings.segmenter, *classifier)
