"""Findings become DICOM: SEG, derived SEG and report, with repeatable UIDs, each read back before it leaves."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pydicom.dataset import Dataset

from bt_node.domain.result import EncodedObject, ResultKind
from bt_node.encode.equipment import FIRST, Place, finish, wall_clock
from bt_node.encode.quiet import no_patient_text
from bt_node.encode.readback import check_report, check_segmentation
from bt_node.encode.report import segments_of, write_report
from bt_node.encode.request import EncodeRequest, FurtherOutline, NodeIdentity
from bt_node.encode.segmentation import segmentation
from bt_node.encode.source import SourceImages, read_source
from bt_node.encode.structured_report import structured_report
from bt_node.encode.uids import RunIdentity, instances_digest, releases_of
from bt_node.encode.words import NO_FRAME_OF_REFERENCE, drawn_again

__all__ = ["EncodeRequest", "FurtherOutline", "NodeIdentity", "encode_results"]


def encode_results(request: EncodeRequest) -> tuple[EncodedObject, ...]:
    """Encode one study's findings.

    Returns:
        With a tumour outlined: SEG (NCR, ED, ET), SEG_DERIVED (TC, WT), the same for each further series, and SR;
        without SEG where NCR, ED and ET could not be assessed. Otherwise the SR alone. The same request gives the
        same bytes. Every object has been decoded again and compared with what was meant.

    Raises:
        GeometryError: the reference series has more than one Frame of Reference.
        SpoolFileMissingError: an input file is gone.
        ReadBackError: an object does not decode to what was meant; nothing leaves.
    """
    with no_patient_text():
        source = read_source(request.reference, request.paths)
        return _encode(request, source, _identity(request, source))


def _encode(request: EncodeRequest, source: SourceImages, identity: RunIdentity) -> tuple[EncodedObject, ...]:
    when = wall_clock(request.analysed_at, source.patient)
    outlines, encoded = _outlines(request, source, identity, when)
    for place, further in enumerate(request.further, start=1):
        asked = request.on(further)
        images = read_source(asked.reference, asked.paths)
        own = replace(identity, series_instance_uid=str(images.patient.SeriesInstanceUID))
        datasets, objects = _outlines(asked, images, own, when, Place(place, further.role.value))
        outlines, encoded = [*outlines, *datasets], [*encoded, *objects]
    remarks = (
        *(() if source.names_frame_of_reference else (NO_FRAME_OF_REFERENCE,)),
        *(drawn_again(further.role.value) for further in request.further if request.outlined),
    )
    report = write_report(request, identity, remarks)
    document = structured_report(report, request, source, outlines, identity, when)
    encoded.append(finish(document, ResultKind.SR, source.patient, when, identity))
    check_report(encoded[-1], report, request, encoded[:-1])
    return tuple(encoded)


def _outlines(
    request: EncodeRequest, source: SourceImages, identity: RunIdentity, when: datetime, place: Place = FIRST
) -> tuple[list[Dataset], list[EncodedObject]]:
    """The SEGs of one series, as data sets and as files that were read back."""
    kinds = [kind for kind in (ResultKind.SEG, ResultKind.SEG_DERIVED) if segments_of(kind, request.outlined)]
    outlines = [segmentation(kind, request, source, identity, when, place) for kind in kinds]
    encoded = [
        finish(dataset, kind, source.patient, when, identity) for kind, dataset in zip(kinds, outlines, strict=True)
    ]
    for each in encoded:
        check_segmentation(each, request, source)
    return outlines, encoded


def _identity(request: EncodeRequest, source: SourceImages) -> RunIdentity:
    return RunIdentity(
        study_instance_uid=str(source.patient.StudyInstanceUID),
        series_instance_uid=str(source.patient.SeriesInstanceUID),
        inputs=instances_digest((*request.paths, *request.decided, *_also(request))),
        releases=releases_of(request.findings),
        node_version=request.node.version,
    )


def _also(request: EncodeRequest) -> list[str]:
    """Further series, and a former study to compare with, change what the report says: it is another report."""
    further = [f"also={further.reference.series_instance_uid}" for further in request.further]
    return further if request.follow_up is None else [*further, *request.follow_up.identity]
