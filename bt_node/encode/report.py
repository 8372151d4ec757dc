"""What the report states, before it becomes DICOM: written by `sr`, and compared with what is read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydicom.sr.coding import Code

from bt_node.domain.result import EarlierReport, ResultKind
from bt_node.domain.study import Role
from bt_node.domain.tumour import Findings, Region, RegionMeasurement, ReleaseIdentity
from bt_node.encode import codes
from bt_node.encode.comparison import compared_sizes, comparison_words, former_references
from bt_node.encode.quantity import Quantity
from bt_node.encode.request import EncodeRequest
from bt_node.encode.words import REPLACES_EARLIER_REPORT, comments

EXCLUSIVE = (Region.NCR, Region.ED, Region.ET)
NESTED = (Region.TC, Region.WT)
# Response criteria (RANO) look at the core and at what enhances, not at oedema.
_WITH_AXES = (Region.ET, Region.TC)


@dataclass(frozen=True)
class SegmentReference:
    """A segment (one-based number) of a SEG instance."""

    sop_instance_uid: str
    number: int


@dataclass(frozen=True)
class Outlines:
    """What a report refers to: the study, and the SOPInstanceUIDs of the SEGs on the reference series."""

    study_instance_uid: str
    segs: Mapping[ResultKind, str]


@dataclass(frozen=True)
class MeasuredGroup:
    """One measurement group: with a segment it becomes TID 1411, without one TID 1501."""

    label: str
    tracking_uid: str
    finding: Code
    segment: SegmentReference | None
    quantities: tuple[Quantity, ...]


@dataclass(frozen=True)
class Statement:
    """A coded question and its answer: a code, or words where TID 1500 has no place for a number."""

    concept: Code
    value: Code | str


@dataclass(frozen=True)
class Report:
    """Everything that the SR says."""

    groups: tuple[MeasuredGroup, ...]
    statements: tuple[Statement, ...]
    comments: tuple[str, ...]
    predecessor: EarlierReport | None = None
    former: tuple[str, ...] = ()  # SOPInstanceUIDs of the former study's objects


def segments_of(kind: ResultKind, outlined: tuple[Region, ...]) -> tuple[Region, ...]:
    """Regions that one SEG object describes; segment numbers count from 1 in this order.

    A region without a voxel gets no segment: an empty segment has no frame that a viewer could show, and the report
    states its absence in words of its own. Nor does one that could not be assessed.
    """
    wanted = EXCLUSIVE if kind is ResultKind.SEG else NESTED
    return tuple(region for region in wanted if region in outlined)


def write_report(
    request: EncodeRequest,
    outlines: Outlines,
    remarks: Sequence[str] = (),
    predecessor: EarlierReport | None = None,
) -> Report:
    """Decide what the report states; `remarks` are added to its comments, `predecessor` is what it replaces.

    TID 1411 and TID 1501 groups never stand together: validators take one template for all groups of a report.
    """
    outlined = request.outlined
    if outlined:
        groups = tuple(_outlined_group(region, request, outlines) for region in outlined)
    else:
        groups = (_nothing_outlined(request, outlines.study_instance_uid),)
    replaced = () if predecessor is None else (REPLACES_EARLIER_REPORT,)
    return Report(
        groups,
        _statements(request, outlined),
        comments(request, (*replaced, *remarks, *comparison_words(request.follow_up))),
        predecessor,
        tuple(instance for _, instance, _ in former_references(request.follow_up)),
    )


def _outlined_group(region: Region, request: EncodeRequest, outlines: Outlines) -> MeasuredGroup:
    kind = ResultKind.SEG if region in EXCLUSIVE else ResultKind.SEG_DERIVED
    number = segments_of(kind, request.outlined).index(region) + 1
    findings = request.findings
    return MeasuredGroup(
        label=region.value,
        tracking_uid=request.tracking_uid(outlines.study_instance_uid, region),
        finding=codes.REGIONS[region].finding,
        segment=SegmentReference(outlines.segs[kind], number),
        quantities=(
            *_sizes(findings.measurements[region], findings.segmenter),
            *compared_sizes(request.follow_up, region, findings.segmenter),
        ),
    )


def _nothing_outlined(request: EncodeRequest, study_instance_uid: str) -> MeasuredGroup:
    findings = request.findings
    return MeasuredGroup(
        label=Region.WT.value,
        tracking_uid=request.tracking_uid(study_instance_uid, Region.WT),
        finding=codes.REGIONS[Region.WT].finding,
        segment=None,
        quantities=(
            *_sizes(findings.measurements[Region.WT], findings.segmenter),
            *compared_sizes(request.follow_up, Region.WT, findings.segmenter),
        ),
    )


def _sizes(measured: RegionMeasurement, release: ReleaseIdentity) -> tuple[Quantity, ...]:
    volume = Quantity(codes.VOLUME, round(measured.volume_ml, 3), codes.CUBIC_CENTIMETER, release, codes.VOXEL_SUM)
    if measured.region not in _WITH_AXES:
        return (volume,)
    axes = ((codes.LONG_AXIS, measured.long_axis_mm), (codes.PERPENDICULAR_AXIS, measured.perpendicular_axis_mm))
    lengths = (Quantity(name, round(mm, 2), codes.MILLIMETER, release) for name, mm in axes if mm is not None)
    return (volume, *lengths)


def _impression(findings: Findings) -> list[Statement]:
    """The type of what is outlined, with its certainty; indeterminate below the release's limit.

    The certainty stands with the type and nowhere else: in a group it would be read as that of the finding there.
    Under Qualitative Evaluations TID 1500 takes codes and texts, no numbers.
    """
    named, kind = findings.tumour_type, findings.named_type
    if named is None or not findings.tumour_outlined:
        return []
    if kind is None:
        return [Statement(codes.IMPRESSION, codes.INDETERMINATE)]
    diagnosis = codes.DIAGNOSES[kind]
    sure = f"{diagnosis.meaning}: {100 * named.tumour_certainty:.1f} %, given that what is outlined is a tumour"
    return [Statement(codes.IMPRESSION, diagnosis), Statement(codes.CERTAINTY, sure)]


# Without one of these sequences "no tumour" would be said on too little evidence.
_NEEDED_TO_EXCLUDE = frozenset({Role.T1C, Role.FLAIR})


def _statements(request: EncodeRequest, outlined: tuple[Region, ...]) -> tuple[Statement, ...]:
    findings = request.findings
    compared = [Statement(codes.COMPARED, codes.YES)] if request.follow_up else []
    parts = (*_absent_parts(findings, outlined), *_hidden_parts(findings))
    return (*_impression(findings), *_presence(findings, outlined), *parts, *compared)


def _presence(findings: Findings, outlined: tuple[Region, ...]) -> list[Statement]:
    """An outline speaks for itself. Without one: absent where neither model sees a tumour, else indeterminate."""
    if outlined:
        return []
    sure = findings.models_agree is not False and not _NEEDED_TO_EXCLUDE & set(findings.missing)
    return [Statement(codes.NEOPLASM, codes.ABSENT if sure else codes.INDETERMINATE)]


def _absent_parts(findings: Findings, outlined: tuple[Region, ...]) -> list[Statement]:
    """A tumour without (say) enhancing parts: that is a finding, and no segment can carry it."""
    if not outlined:
        return []
    absent = [region for region in EXCLUSIVE if region not in (*outlined, *findings.not_assessed)]
    return [Statement(codes.REGIONS[region].finding, codes.ABSENT) for region in absent]


def _hidden_parts(findings: Findings) -> list[Statement]:
    """What a missing sequence hides. The core is left out: its code is that of any neoplasm."""
    hidden = [region for region in EXCLUSIVE if region in findings.not_assessed]
    return [Statement(codes.REGIONS[region].finding, codes.NOT_EVALUATED) for region in hidden]
