"""Errors whose class is their verdict.

Nobody reads message text to decide what happens next: a `Reject` means the input is unfit and will stay so,
a `Hold` means that a person must decide, a `Retry` means that the same call may succeed later, an `Alarm` means
that this node is broken and needs its administrator. Constructors take facts and word the message themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import ClassVar


class BtNodeError(Exception):
    """Base of all errors this project raises on purpose.

    Attributes:
        code: stable kebab-case word that the job book, the CLI and tests use to name this error.
        message: one sentence with the facts, without patient data.
        remedy: what the reader can do about it; may be empty.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.message = message
        self.remedy = remedy


class Reject(BtNodeError):  # noqa: N818 - the verdict is the name
    """The input is unfit and no retry will change that. The job ends in REJECTED with the reason."""

    code = "rejected"


class Hold(BtNodeError):  # noqa: N818
    """The input may be fit but this node must not guess. The job waits in HELD for a person."""

    code = "held"


class Retry(BtNodeError):  # noqa: N818
    """The surroundings failed (memory, disk, network); the same work may succeed later."""

    code = "retry"


class Alarm(BtNodeError):  # noqa: N818
    """This node is misconfigured or broken; its administrator must act."""

    code = "alarm"


# ---------------------------------------------------------------- configuration


class ConfigError(Alarm):
    """config.toml or the environment holds one or more mistakes, all listed at once."""

    code = "config-invalid"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"The configuration has {len(self.problems)} problem(s):\n{lines}")


class TlsError(Alarm):
    """A certificate or key cannot be used. The message names the file, never its content."""

    code = "tls"

    def __init__(self, path: PurePath, trouble: str, remedy: str = "") -> None:
        super().__init__(f"TLS: {path} {trouble}.", remedy=remedy)


class SyslogError(Retry):
    """A syslog receiver did not take the audit trail."""

    code = "syslog"

    def __init__(self, receiver: str, trouble: str) -> None:
        super().__init__(
            f"{receiver} did not take the audit trail: {trouble}.", remedy="What it has not got is sent next time."
        )


class OpenToOthersError(Alarm):
    """A file that holds a secret, or patient data, may be read by other accounts of the machine."""

    code = "open-to-others"

    def __init__(self, what: str, path: PurePath, mode: int) -> None:
        super().__init__(f"{what} {path} has mode {mode:04o}, so that others may read it.", remedy=f"chmod o= {path}")


class NotWritableError(Alarm):
    """A file or folder that the node writes cannot be written, and will not be until somebody changes that."""

    code = "not-writable"

    def __init__(self, what: str, path: PurePath, why: str, remedy: str) -> None:
        super().__init__(f"{what} cannot be written: {path} {why}.", remedy=remedy)


class StorageAwayError(Retry):
    """A disk or a network's file system does not answer as it should; it may later."""

    code = "storage-away"

    def __init__(self, what: str, path: PurePath, why: str) -> None:
        super().__init__(f"{what} cannot be written now: {path}: {why}.", remedy="Look at the disk or the mount.")


class PeersMissingError(Alarm):
    """The configuration does not say who sends, or where results go."""

    code = "peers-missing"

    def __init__(self, table: str, so: str) -> None:
        super().__init__(
            f"The configuration names no [[{table}]], so {so}.",
            remedy=f"Name them; or write `{table} = []` at the top of the file if it is meant so.",
        )


class NotStartedError(Alarm):
    """A process was not started, because what must hold before it starts does not."""

    code = "not-started"

    def __init__(self, failed: Sequence[tuple[str, str]]) -> None:
        super().__init__(worded_conditions(failed))


class NotStartedNowError(Retry):
    """The same, where all that failed may hold later by itself."""

    code = "not-started-now"

    def __init__(self, failed: Sequence[tuple[str, str]]) -> None:
        super().__init__(worded_conditions(failed))


def worded_conditions(failed: Sequence[tuple[str, str]]) -> str:
    """Name and sentence of each condition that does not hold, one a line."""
    lines = "\n".join(f"  - {name}: {sentence}" for name, sentence in failed)
    return f"Not started; {len(failed)} of the conditions of `bt-node check` failed:\n{lines}"


# ---------------------------------------------------------------- which series


class RolesMissingError(Reject):
    """At least one of the sequences the release needs is not in the study.

    Attributes:
        missing: the roles without a series.
        one_of: roles of which one alone would do; empty where each role is needed.
    """

    code = "roles-missing"

    def __init__(self, missing: Sequence[str], series_seen: int, *, one_of: Sequence[str] = ()) -> None:
        self.missing, self.one_of = tuple(missing), tuple(one_of)
        at_least = f"; the release needs at least {' or '.join(self.one_of)}" if one_of else ""
        super().__init__(
            f"No series found for {', '.join(self.missing)} among {series_seen} series{at_least}.",
            remedy="See set_aside in `bt-node jobs show` for the reason of each series; "
            "send the missing series and the study is taken up again.",
        )


class StudyIncompleteError(Hold):
    """A sequence is missing that the release can do without, but the site wants no answer without it."""

    code = "study-incomplete"

    def __init__(self, missing: Sequence[str], found: Sequence[str]) -> None:
        self.missing = tuple(missing)
        super().__init__(
            f"No series found for {', '.join(self.missing)}; the release could answer on {', '.join(found)} alone.",
            remedy="Send the missing series and the study is taken up again; or set require_all_roles = false in "
            "[completeness], restart the worker, and `bt-node jobs retry`.",
        )


class SeriesShortError(Hold):
    """The source has more images of a series with a role than arrived."""

    code = "series-short"

    def __init__(self, sentences: Sequence[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__(
            " ".join(self.sentences),
            remedy="Send the series again and the study is taken up again; `bt-node jobs retry` goes on with the "
            "images that are there.",
        )


class FilesMissingError(Reject):
    """Too few files were given for the release to answer."""

    code = "files-missing"

    def __init__(self, release: str, missing: Sequence[str], *, one_of: bool = False) -> None:
        self.missing = tuple(missing)
        wanted = (" or " if one_of else " and ").join(self.missing)
        options = " ".join(f"--{role.lower()} FILE" for role in self.missing)
        super().__init__(f"{release} cannot answer without {wanted}.", remedy=f"Add {options}.")


class RolesAmbiguousError(Hold):
    """Several series fit one role equally well, or only disputed ones do; a person must decide."""

    code = "roles-ambiguous"

    def __init__(self, role: str, candidates: Sequence[str]) -> None:
        self.role = role
        self.candidates = tuple(candidates)
        super().__init__(
            f"A person must say which series is {role}: {'; '.join(self.candidates)}.",
            remedy=f"`bt-node jobs explain ID` shows the evidence, `bt-node jobs assign ID --{role.lower()} SERIES` "
            "decides.",
        )


class RolesContradictedError(Hold):
    """The images of the chosen series look like other sequences than the headers say; a person must decide.

    Attributes:
        roles: the roles whose series are contradicted.
    """

    code = "roles-contradicted"

    def __init__(
        self, contradicted: Sequence[tuple[str, str, str]], exchange: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Word it.

        Args:
            contradicted: role, its series (number or UID), what its image looks like and why.
            exchange: role and the series that should have it by the images; empty where they leave several ways.
        """
        self.roles = tuple(role for role, _, _ in contradicted)
        facts = "; ".join(
            f"series {series}, chosen as {role}, looks like {like}" for role, series, like in contradicted
        )
        given = exchange or [(role, "SERIES") for role in self.roles]
        options = " ".join(f"--{role.lower()} {series}" for role, series in given)
        super().__init__(
            f"The images contradict the choice of {' and '.join(self.roles)}: {facts}.",
            remedy=f"Look at these series, then `bt-node jobs assign ID {options}`; assign them as they are "
            "if the images mislead. `bt-node jobs explain ID` shows the evidence.",
        )


# ---------------------------------------------------------------- slices to volumes


class GeometryError(Reject):
    """The slices of a series do not form one regular volume."""

    code = "geometry"

    def __init__(self, series_uid: str, message: str) -> None:
        self.series_uid = series_uid
        super().__init__(f"Series {series_uid}: {message}")


class SliceGapError(GeometryError):
    """A slice is missing, or spacing along the normal is not even."""

    code = "slice-gap"

    def __init__(self, series_uid: str, gap_mm: float, expected_mm: float, after_mm: float) -> None:
        self.gap_mm, self.expected_mm, self.after_mm = gap_mm, expected_mm, after_mm
        super().__init__(
            series_uid,
            f"slices are {gap_mm:.2f} mm apart at position {after_mm:.1f} mm where {expected_mm:.2f} mm is expected; "
            "a slice is missing or spacing is uneven.",
        )


class DuplicateSliceError(GeometryError):
    """Two slices lie at the same position."""

    code = "duplicate-slice"

    def __init__(self, series_uid: str, position_mm: float) -> None:
        super().__init__(series_uid, f"two slices lie at the same position {position_mm:.2f} mm along the normal.")


class MixedOrientationError(GeometryError):
    """Slices of one series are not parallel (a localizer, for example)."""

    code = "mixed-orientation"

    def __init__(self, series_uid: str, orientations: int) -> None:
        super().__init__(series_uid, f"{orientations} different slice orientations in one series.")


class MosaicError(GeometryError):
    """Each image is a mosaic of many slices (Siemens); where the tiles lie is said in private elements only."""

    code = "mosaic"

    def __init__(self, series_uid: str) -> None:
        super().__init__(series_uid, "each image is a mosaic of many slices (Siemens), which is not read.")


class MixedMatrixError(GeometryError):
    """Slices of one series differ in matrix size or pixel spacing."""

    code = "mixed-matrix"

    def __init__(self, series_uid: str, kinds: Sequence[str]) -> None:
        super().__init__(series_uid, f"slices differ in matrix or pixel spacing: {', '.join(kinds)}.")


class PixelDataError(Reject):
    """Pixel data is missing, truncated or cannot be decoded."""

    code = "pixel-data"

    def __init__(self, sop_instance_uid: str, detail: str) -> None:
        self.sop_instance_uid = sop_instance_uid
        super().__init__(f"Pixel data of instance {sop_instance_uid} cannot be decoded: {detail}")


class HeaderError(Reject):
    """Results could not carry on what the headers of a series say: patient, study, place."""

    code = "headers"

    def __init__(self, series_uid: str, detail: str) -> None:
        self.series_uid = series_uid
        super().__init__(
            f"Results cannot be made from the headers of series {series_uid}: {detail}.",
            remedy="Correct the headers at the source and send the study again.",
        )


class UnreadableVolumeError(Reject):
    """A file of the researcher's own does not hold one 3D volume."""

    code = "unreadable-volume"

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name} {detail}")


class RegistrationError(Reject):
    """A sequence could not be brought onto the reference grid."""

    code = "registration"

    def __init__(self, role: str, detail: str) -> None:
        super().__init__(f"{role} could not be registered to the reference series: {detail}")


class NoHeadError(Reject):
    """The images are no MR images of a head, or nothing can be seen on them."""

    code = "no-head"

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(" ".join(self.reasons))


class BrainMaskError(Hold):
    """No plausible brain was found in the volumes; a person must look at what was sent."""

    code = "brain-mask"

    def __init__(self, volume_ml: float, low_ml: float, high_ml: float) -> None:
        self.volume_ml = volume_ml
        super().__init__(
            f"The brain mask holds {volume_ml:.0f} ml, outside the plausible {low_ml:.0f} to {high_ml:.0f} ml.",
            remedy="The study may not show a whole head: `bt-node jobs reject ID` ends it, `bt-node jobs assign ID` "
            "names other series.",
        )


class PictureError(Reject):
    """A 2D picture shows no head that could be classified, or its file cannot be read as an image."""

    code = "picture"

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"The picture cannot be classified: {detail}.")


# ---------------------------------------------------------------- models


class ReleaseError(Alarm):
    """A model release folder is incomplete, or its manifest is wrong."""

    code = "model-release"

    def __init__(self, folder: str, detail: str, *, remedy: str = "") -> None:
        super().__init__(f"Model release {folder}: {detail}", remedy=remedy)


class WeightsMismatchError(ReleaseError):
    """The weights file is not the one the manifest names."""

    code = "weights-mismatch"

    def __init__(self, folder: str, expected: str, actual: str) -> None:
        super().__init__(
            folder,
            f"weights.safetensors has SHA-256 {actual}, but manifest.toml says {expected}. Nothing was loaded.",
        )


class OutOfDeviceMemoryError(Retry):
    """The processor or GPU has too little memory right now."""

    code = "out-of-memory"

    def __init__(self, device: str) -> None:
        super().__init__(f"Out of memory on {device}.")


# ---------------------------------------------------------------- results


class ReadBackError(Alarm):
    """A written result object does not decode to what was meant; nothing leaves."""

    code = "read-back"

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind} was written and read back, but differs: {detail}")


class SameUidError(Alarm):
    """A result would stand under a UID that another content has already; nothing leaves."""

    code = "same-uid"

    def __init__(self, job_id: int, sop_instance_uid: str) -> None:
        super().__init__(
            f"Job {job_id}: result {sop_instance_uid} was made before with another content, and one UID never names "
            "two objects.",
            remedy="This is a mistake in the node: report it with the log of both runs.",
        )


class SpoolFileMissingError(Retry):
    """A file that the job book knows is not in the spool."""

    code = "spool-file-missing"

    def __init__(self, sop_instance_uid: str) -> None:
        super().__init__(f"Instance {sop_instance_uid} is in the job book but its file is not in the spool.")


class FilesLostError(Hold):
    """Received images are not in the spool any more. When they are sent again the study goes on by itself."""

    code = "files-lost"

    def __init__(self, lost: Sequence[str], of: int) -> None:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""  # noqa: PLR2004 - a few UIDs say where to look
        super().__init__(
            f"{len(lost)} of {of} instances are gone from the spool: {', '.join(sorted(lost)[:3])}{more}.",
            remedy="Send the study again; it then goes on by itself.",
        )


class FilesDamagedError(Hold):
    """Received images in the spool are not what was received. Sent again they are mended, and the study goes on.

    Attributes:
        damaged: SOPInstanceUIDs, sorted.
    """

    code = "files-damaged"

    def __init__(self, damaged: Sequence[str], of: int) -> None:
        self.damaged = tuple(sorted(damaged))
        more = f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""  # noqa: PLR2004 - as above
        super().__init__(
            f"{len(damaged)} of {of} instances in the spool are not what was received: "
            f"{', '.join(self.damaged[:3])}{more}.",
            remedy="Send the study again; it then goes on by itself. And look at the disk.",
        )


class OutletError(Alarm):
    """A file that a destination needs (a token, a certificate) cannot be used; what is in it is never shown."""

    code = "destination-file"

    def __init__(self, file: object, why: str) -> None:
        super().__init__(f"{file}: {why}.", remedy="Look at the files that [[destinations]] names.")


class TripEndedError(Retry):
    """The process of a trip did not bring it to an end. The study is tried again, and at last FAILED."""

    code = "trip-ended"


class StageStalledError(TripEndedError):
    """A stage made no progress for too long; its process was killed."""

    code = "stage-stalled"

    def __init__(self, stage: str, minutes: float) -> None:
        super().__init__(f"Stage {stage} made no progress for {minutes:g} minutes, and its process was ended.")


class TripDiedError(TripEndedError):
    """The process of a trip died: a crash of a library, or the kernel's answer to too little memory."""

    code = "trip-died"

    def __init__(self, stage: str, how: str) -> None:
        super().__init__(f"The process of the trip died in stage {stage}: {how}.")


class TripMemoryError(TripEndedError):
    """The process of a trip took more memory than the configuration allows."""

    code = "trip-memory"

    def __init__(self, stage: str, limit_mib: int) -> None:
        super().__init__(
            f"Stage {stage} took more than {limit_mib} MiB of memory, and its process was ended.",
            remedy="[device] memory_limit_mib sets the limit.",
        )


class TripStartError(Alarm):
    """The process of the trips cannot start: a model release is missing or damaged, or a setting is wrong."""

    code = "trip-start"


class LeaseLostError(Retry):
    """Another worker owns this job now; this one must not write its result."""

    code = "lease-lost"

    def __init__(self, job_id: int) -> None:
        super().__init__(f"The lease of job {job_id} was lost; its result was not written.")


class IllegalMoveError(BtNodeError):
    """A job was asked to move along an edge that the state table does not have, or was not in that state."""

    code = "illegal-move"

    def __init__(self, job_id: int, state: str, target: str) -> None:
        super().__init__(f"Job {job_id} is {state} and cannot become {target}.")


class JobNotFoundError(BtNodeError):
    """No job with this number or StudyInstanceUID."""

    code = "job-not-found"

    def __init__(self, wanted: str) -> None:
        super().__init__(f"No job {wanted}.")


class AssignmentRefusedError(BtNodeError):
    """A person's choice of series cannot be carried out; all that speaks against it is listed at once."""

    code = "assignment-refused"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"Nothing was assigned: {'; '.join(self.problems)}.")


class ReviewRefusedError(BtNodeError):
    """A person's word on a held study cannot be carried out."""

    code = "review-refused"

    def __init__(self, job_id: int, why: str, held_because: str = "") -> None:
        remedy = f"It is held because: {held_because}" if held_because else ""
        super().__init__(f"Nothing was changed on job {job_id}: {why}.", remedy=remedy)


class NoDicomError(BtNodeError):
    """A folder in which no study was found."""

    code = "no-dicom"

    def __init__(self, folder: str, others: int) -> None:
        super().__init__(f"No DICOM file with a study under {folder} ({others} other files).")


class InputsPurgedError(BtNodeError):
    """The files of this job were deleted after the retention time; there is nothing to run it on."""

    code = "inputs-purged"

    def __init__(self, job_id: int) -> None:
        super().__init__(f"The received files of job {job_id} were deleted.", remedy="Send the study again.")


class InstanceConflictError(Reject):
    """Two different objects claim one SOPInstanceUID; the first one is kept."""

    code = "instance-conflict"

    def __init__(self, sop_instance_uid: str) -> None:
        super().__init__(f"Another object has SOPInstanceUID {sop_instance_uid} already.")


class SiteKeyError(Alarm):
    """The key for hashes of patients cannot be used. The message names the file, never its content."""

    code = "site-key"

    def __init__(self, path: str, trouble: str) -> None:
        super().__init__(
            f"The site key {path} {trouble}.",
            remedy="Put the right file back, or set `enabled = false` in [follow_up].",
        )


# ---------------------------------------------------------------- the job book


class SchemaError(Alarm):
    """The database has no schema, or that of another version of this program."""

    code = "schema"

    def __init__(self, current: str | None, needed: str) -> None:
        found = f"has schema revision {current}" if current else "has no schema"
        newer = current is not None and current > needed  # revisions are numbered
        remedy = "It belongs to a newer bt-node." if newer else "Run `bt-node db upgrade`."
        super().__init__(f"The database {found}, but this program needs revision {needed}.", remedy=remedy)


class BookUnavailableError(Retry):
    """The database cannot be reached, is locked, or its disk is full."""

    code = "job-book-unavailable"

    def __init__(self, detail: str) -> None:
        super().__init__(f"The job book cannot be used now: {detail.strip()}.")
