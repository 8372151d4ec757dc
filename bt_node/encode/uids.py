"""Repeatable UIDs: the same input, models and node version give the same UIDs, anything else gives others.

All are of the form 2.25.<128-bit number> (PS3.5 B.2), the number being the first half of a SHA-256 over what the UID
stands for. Sending a result twice therefore gives the archive the same objects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from bt_node.domain.tumour import Findings, Region, ReleaseIdentity

_NAMESPACE = "bt-node"


def derived_uid(*parts: str) -> str:
    """The UID that stands for `parts` (order matters, and the border between two parts does too)."""
    text = "".join(f"{len(part)}:{part}" for part in (_NAMESPACE, *parts))
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], 'big')}"


def instances_digest(sop_instance_uids: Iterable[str]) -> str:
    """SHA-256 (hex) over a set of instances; their order does not matter."""
    return hashlib.sha256("\n".join(sorted(set(sop_instance_uids))).encode()).hexdigest()


def release_uid(release: ReleaseIdentity) -> str:
    """DeviceUID of a model: a new one whenever name, version or weights change (IHE AIR)."""
    return derived_uid("release", release.name, release.version, release.weights_sha256)


def tracking_uid(study_instance_uid: str, region: Region) -> str:
    """Tracking UID of one region of one study: the same in SEG and SR, and the same for later model versions."""
    return derived_uid("tracking", study_instance_uid, region.value)


@dataclass(frozen=True)
class RunIdentity:
    """What the identity of a result depends on, besides its kind.

    Attributes:
        study_instance_uid: the study that was analysed.
        series_instance_uid: the reference (T1c) series.
        inputs: digest over all instances that the models read.
        releases: the models, in the order segmenter, classifier.
        node_version: version of this software.
    """

    study_instance_uid: str
    series_instance_uid: str
    inputs: str
    releases: tuple[ReleaseIdentity, ...]
    node_version: str

    def uid(self, purpose: str, kind: str) -> str:
        """UID for one purpose ("series", "instance", "dimensions") of one kind of object."""
        releases = [
            part for release in self.releases for part in (release.name, release.version, release.weights_sha256)
        ]
        run = (self.study_instance_uid, self.series_instance_uid, self.inputs, self.node_version)
        return derived_uid(purpose, kind, *run, *releases)


def releases_of(findings: Findings) -> tuple[ReleaseIdentity, ...]:
    """The models that spoke: the segmenter, and the classifier where there is one."""
    classifier = (findings.tumour_type.release,) if findings.tumour_type else ()
    return (findings.segmenter, *classifier)
