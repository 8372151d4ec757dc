"""The report as Comprehensive 3D SR after TID 1500 (PS3.16), readable by today's viewers and clean in validators."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from datetime import datetime
from typing import Any

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from bt_node.domain.result import EarlierReport, ResultKind
from bt_node.domain.tumour import ReleaseIdentity
from bt_node.encode import codes
from bt_node.encode.comparison import former_evidence
from bt_node.encode.equipment import common_attributes, contributing_equipment
from bt_node.encode.quantity import Quantity
from bt_node.encode.report import MeasuredGroup, Report, SegmentReference, Statement
from bt_node.encode.request import EncodeRequest, NodeIdentity
from bt_node.encode.source import SourceImages
from bt_node.encode.uids import derived_uid, releases_of
from bt_node.encode.words import plain

_SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"


def structured_report(
    report: Report,
    request: EncodeRequest,
    source: SourceImages,
    segmentations: Sequence[Dataset],
    when: datetime,
) -> Dataset:
    """The SR that says `report`, with all inputs and `segmentations` as evidence."""
    content = sr.MeasurementReport(
        observation_context=device_observer(request.node),
        procedure_reported=codes.MULTIPARAMETRIC_MRI,
        imaging_measurements=[_group(group, str(source.patient.SeriesInstanceUID)) for group in report.groups],
        title=codes.ONCOLOGY_REPORT,
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(concept(codes.ENGLISH)),
        referenced_images=[_library_image(source)],
    )
    if source.is_multiframe:
        _point_library_at_frame(content, source)
    content[0].ContentSequence.append(qualitative_evaluations(report))
    return sr.Comprehensive3DSR(
        evidence=[*source.evidence, *segmentations, *former_evidence(request.follow_up)],
        content=content,
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=previous_versions(report.predecessor, str(source.patient.StudyInstanceUID)),
        contributing_equipment=[
            contributing_equipment(release, request, when) for release in releases_of(request.findings)
        ],
        **common_attributes(ResultKind.SR, request, when),
    )


def previous_versions(predecessor: EarlierReport | None, study_instance_uid: str) -> list[Dataset] | None:
    """What highdicom reads of an earlier document, without the document itself."""
    if predecessor is None:
        return None
    document = Dataset()
    document.SOPClassUID = predecessor.sop_class_uid
    document.SOPInstanceUID = predecessor.sop_instance_uid
    document.SeriesInstanceUID = predecessor.series_instance_uid
    document.StudyInstanceUID = study_instance_uid
    return [document]


def concept(code: Code) -> sr.CodedConcept:
    """The code as highdicom's class."""
    return sr.CodedConcept(code.value, code.scheme_designator, code.meaning)


def device_observer(node: NodeIdentity) -> sr.ObservationContext:
    """The observer is this node (TID 1002, 1004); a person has not looked."""
    identifying = sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("node", node.manufacturer, node.model_name, node.serial),
        name=plain(node.model_name),
        manufacturer_name=plain(node.manufacturer),
        model_name=plain(node.model_name),
        serial_number=plain(node.serial),
    )
    return sr.ObservationContext(observer_device_context=sr.ObserverContext(concept(codes.DEVICE), identifying))


def _group(group: MeasuredGroup, source_series_uid: str) -> Any:
    common: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(uid=group.tracking_uid, identifier=group.label),
        "finding_type": group.finding,
        "finding_sites": [sr.FindingSite(codes.BRAIN)],
        "measurements": [_measurement(quantity) for quantity in group.quantities],
    }
    if group.segment is None:
        return sr.MeasurementsAndQualitativeEvaluations(**common)
    reference = _referenced_segment(group.segment, source_series_uid)
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=reference, **common)


def _referenced_segment(segment: SegmentReference, source_series_uid: str) -> sr.ReferencedSegment:
    reference = sr.ReferencedSegment(
        sop_class_uid=_SEGMENTATION_STORAGE,
        sop_instance_uid=segment.sop_instance_uid,
        segment_number=segment.number,
        source_series=sr.SourceSeriesForSegmentation(source_series_uid),
    )
    # highdicom capitalises the meaning otherwise than PS3.16 does, and validators notice.
    reference[1].ConceptNameCodeSequence[0].CodeMeaning = codes.SOURCE_SERIES_FOR_SEGMENTATION.meaning
    return reference


def _measurement(quantity: Quantity) -> sr.Measurement:
    """The method stands at each measurement: at the group highdicom 0.28 gives it a wrong relationship."""
    measurement = sr.Measurement(
        name=quantity.name,
        value=quantity.value,
        unit=quantity.unit,
        method=quantity.method,
        algorithm_id=_algorithm(quantity.release),
    )
    # highdicom has no argument for these (TID 1419 row 14, TID 300).
    measurement[0].ContentSequence.extend(
        sr.NumContentItem(each.name, each.value, each.unit, relationship_type="INFERRED FROM")
        for each in quantity.inferred_from
    )
    return measurement


def _algorithm(release: ReleaseIdentity) -> sr.AlgorithmIdentification:
    return sr.AlgorithmIdentification(
        name=plain(release.name),
        version=plain(release.version),
        parameters=[f"weights_sha256={release.weights_sha256}"],
        family=codes.ARTIFICIAL_INTELLIGENCE,
    )


def _library_image(source: SourceImages) -> Dataset:
    """One image stands for the series: a library of all slices makes viewers slow and reports long."""
    middle = copy(source.planes[len(source.planes) // 2])
    middle.SliceThickness = source.planes[0].SliceThickness
    if not source.names_frame_of_reference:
        del middle.FrameOfReferenceUID
    return middle


def _point_library_at_frame(content: sr.MeasurementReport, source: SourceImages) -> None:
    """The library's image is a plane's stand-in: name the true instance and frame instead."""
    frame = source.frames[len(source.frames) // 2]
    stand_in = str(source.planes[len(source.planes) // 2].SOPInstanceUID)
    for item in _descendants(content[0]):
        for reference in item.get("ReferencedSOPSequence", []):
            if reference.ReferencedSOPInstanceUID == stand_in:
                reference.ReferencedSOPClassUID = frame.sop_class_uid
                reference.ReferencedSOPInstanceUID = frame.sop_instance_uid
                reference.ReferencedFrameNumber = frame.frame_number


def _descendants(item: Dataset) -> list[Dataset]:
    children = list(item.get("ContentSequence", []))
    return [*children, *(below for child in children for below in _descendants(child))]


def qualitative_evaluations(report: Report) -> sr.ContainerContentItem:
    """TID 1500's root-level container: answers, most of them coded, and comments as text.

    The tumour type stands here and not in a group of its own, which would have to be TID 1501 beside TID 1411.
    """
    container = sr.ContainerContentItem(name=concept(codes.QUALITATIVE_EVALUATIONS), relationship_type="CONTAINS")
    container.ContentSequence = sr.ContentSequence(
        [
            *(_answer(answer) for answer in report.statements),
            *(
                sr.TextContentItem(name=codes.COMMENT, value=comment, relationship_type="CONTAINS")
                for comment in report.comments
            ),
        ]
    )
    return container


def _answer(statement: Statement) -> sr.ContentItem:
    if isinstance(statement.value, str):
        return sr.TextContentItem(name=statement.concept, value=statement.value, relationship_type="CONTAINS")
    return sr.CodeContentItem(name=statement.concept, value=statement.value, relationship_type="CONTAINS")
