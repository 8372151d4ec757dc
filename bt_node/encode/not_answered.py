"""The report that says why a study was not answered: no outline, no measurement, one sentence of reason.

It is a TID 1500 report like the others, so that whoever looks for the answer finds this in its place. Its one group
(TID 1501) names brain and lesion and holds no number: dcmqi takes a report without a group for broken. That nothing
was evaluated is coded under the root's Qualitative Evaluations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pydicom
from highdicom import sr
from pydicom.dataset import Dataset

from bt_node.domain.errors import SpoolFileMissingError
from bt_node.domain.result import EarlierReport, EncodedObject, ResultKind
from bt_node.domain.tumour import Region
from bt_node.encode import codes
from bt_node.encode.again import latest_or_next
from bt_node.encode.equipment import finish, identifying_attributes, wall_clock
from bt_node.encode.quiet import no_patient_text
from bt_node.encode.readback import check_document
from bt_node.encode.report import MeasuredGroup, Report, Statement
from bt_node.encode.request import NodeIdentity
from bt_node.encode.source import patient_header
from bt_node.encode.structured_report import concept, device_observer, previous_versions, qualitative_evaluations
from bt_node.encode.uids import tracking_uid
from bt_node.encode.words import DISCLAIMER, NOT_ANSWERED_TITLE, REPLACES_EARLIER_REPORT, plain

_EVIDENCE = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]


@dataclass(frozen=True)
class Unanswered:
    """What the report rests on.

    Attributes:
        paths: files by SOPInstanceUID of the images that were received; those that cannot be read are left out.
        reason: one or more sentences without patient data.
        analysed_at: when the analysis of this input began, with its time zone.
        node: who speaks.
        earlier_reports: reports on this study that may have reached an archive, oldest first.
    """

    paths: Mapping[str, Path]
    reason: str
    analysed_at: datetime
    node: NodeIdentity
    earlier_reports: tuple[EarlierReport, ...] = ()


def encode_not_answered(unanswered: Unanswered) -> EncodedObject:
    """Write the report; the same input and reason give the same bytes and UIDs. It has been read back.

    Raises:
        SpoolFileMissingError: not one of the files can be read.
        ReadBackError: the object does not decode to what was meant; nothing leaves.
    """
    with no_patient_text():
        evidence = [header for uid in sorted(unanswered.paths) if (header := _header(uid, unanswered.paths[uid]))]
        if not evidence:
            raise SpoolFileMissingError(next(iter(sorted(unanswered.paths)), "of this study"))
        return _encode(unanswered, evidence)


def _encode(unanswered: Unanswered, evidence: Sequence[Dataset]) -> EncodedObject:
    kind = ResultKind.NOT_ANSWERED
    first = evidence[0]
    patient = patient_header(unanswered.paths[str(first.SOPInstanceUID)])
    when = wall_clock(unanswered.analysed_at, patient)

    def with_predecessor(predecessor: EarlierReport | None) -> EncodedObject:
        report = _report(unanswered, str(first.StudyInstanceUID), predecessor)
        document = _document(report, unanswered, [_with(patient, first), *evidence[1:]], when)
        encoded = finish(document, kind, patient, when)
        check_document(encoded, report, {str(header.SOPInstanceUID) for header in evidence})
        return encoded

    return latest_or_next(unanswered.earlier_reports, with_predecessor)


def _report(unanswered: Unanswered, study_instance_uid: str, predecessor: EarlierReport | None) -> Report:
    replaced = (REPLACES_EARLIER_REPORT,) if predecessor else ()
    said = (DISCLAIMER, f"NOT ANSWERED, because: {unanswered.reason}", *replaced)
    group = MeasuredGroup(
        label=Region.WT.value,
        tracking_uid=tracking_uid(study_instance_uid, Region.WT),
        finding=codes.REGIONS[Region.WT].finding,
        segment=None,
        quantities=(),
    )
    return Report(
        groups=(group,),
        statements=(Statement(codes.NEOPLASM, codes.NOT_EVALUATED),),
        comments=tuple(plain(text) for text in said),
        predecessor=predecessor,
    )


def _document(report: Report, unanswered: Unanswered, evidence: Sequence[Dataset], when: datetime) -> Dataset:
    (group,) = report.groups
    content = sr.MeasurementReport(
        observation_context=device_observer(unanswered.node),
        procedure_reported=codes.MULTIPARAMETRIC_MRI,
        imaging_measurements=[
            sr.MeasurementsAndQualitativeEvaluations(
                tracking_identifier=sr.TrackingIdentifier(uid=group.tracking_uid, identifier=group.label),
                finding_type=group.finding,
                finding_sites=[sr.FindingSite(codes.BRAIN)],
            )
        ],
        title=codes.ONCOLOGY_REPORT,
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(concept(codes.ENGLISH)),
    )
    content[0].ContentSequence.append(qualitative_evaluations(report))
    return sr.Comprehensive3DSR(
        evidence=list(evidence),
        content=content,
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=previous_versions(report.predecessor, str(evidence[0].StudyInstanceUID)),
        series_description=NOT_ANSWERED_TITLE,
        **identifying_attributes(ResultKind.NOT_ANSWERED, unanswered.node, when),
    )


def _header(uid: str, path: Path) -> Dataset | None:
    """UIDs of one file; None where it cannot be read or holds another instance."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_EVIDENCE)
        complete = all(header.get(keyword) for keyword in _EVIDENCE)
    except Exception:  # noqa: BLE001 - damaged files are one of the reasons why a study is not answered
        return None
    return header if complete and str(header.SOPInstanceUID) == uid else None


def _with(patient: Dataset, file: Dataset) -> Dataset:
    """The first evidence item: highdicom copies patient and study of an SR from it."""
    item = Dataset()
    for element in patient:
        item.add(element)
    for keyword in _EVIDENCE:
        setattr(item, keyword, file[keyword].value)
    return item
