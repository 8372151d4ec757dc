"""Findings become DICOM: SEG, derived SEG and report, named after their content, each read back before it leaves."""

from __future__ import annotations

from datetime import datetime

from pydicom.dataset import Dataset

from bt_node.domain.result import EarlierReport, EncodedObject, ResultKind
from bt_node.encode.again import latest_or_next
from bt_node.encode.equipment import FIRST, Place, finish, wall_clock
from bt_node.encode.quiet import no_patient_text
from bt_node.encode.readback import check_report, check_segmentation
from bt_node.encode.report import Outlines, segments_of, write_report
from bt_node.encode.request import EncodeRequest, FurtherOutline, NodeIdentity
from bt_node.encode.segmentation import segmentation
from bt_node.encode.source import SourceImages, read_source
from bt_node.encode.structured_report import structured_report
from bt_node.encode.words import NO_FRAME_OF_REFERENCE, drawn_again

__all__ = ["EncodeRequest", "FurtherOutline", "NodeIdentity", "encode_results"]


def encode_results(request: EncodeRequest) -> tuple[EncodedObject, ...]:
    """Encode one study's findings.

    Returns:
        With a tumour outlined: SEG (NCR, ED, ET), SEG_DERIVED (TC, WT), the same for each further series, and SR;
        without SEG where NCR, ED and ET could not be assessed. Otherwise the SR alone. The same request gives the
        same bytes and UIDs, and whatever differs in an object gives it other UIDs.
        Every object has been decoded again and compared with what was meant.

    Raises:
        GeometryError: the reference series has more than one Frame of Reference.
        SpoolFileMissingError: an input file is gone.
        ReadBackError: an object does not decode to what was meant; nothing leaves.
    """
    with no_patient_text():
        source = read_source(request.reference, request.paths)
        return _encode(request, source)


def _encode(request: EncodeRequest, source: SourceImages) -> tuple[EncodedObject, ...]:
    """SEGs first: the report names them, and so its own UIDs depend on theirs."""
    when = wall_clock(request.analysed_at, source.patient)
    datasets, encoded = _outlines(request, source, when)
    own = Outlines(
        study_instance_uid=str(source.patient.StudyInstanceUID),
        segs={each.kind: each.sop_instance_uid for each in encoded},
    )
    for place, further in enumerate(request.further, start=1):
        asked = request.on(further)
        images = read_source(asked.reference, asked.paths)
        also, objects = _outlines(asked, images, when, Place(place, further.role.value))
        datasets, encoded = [*datasets, *also], [*encoded, *objects]
    remarks = (
        *(() if source.names_frame_of_reference else (NO_FRAME_OF_REFERENCE,)),
        *(drawn_again(further.role.value) for further in request.further if request.outlined),
    )

    def with_predecessor(predecessor: EarlierReport | None) -> EncodedObject:
        report = write_report(request, own, remarks, predecessor)
        document = structured_report(report, request, source, datasets, when)
        written = finish(document, ResultKind.SR, source.patient, when)
        check_report(written, report, request, encoded)
        return written

    return (*encoded, latest_or_next(request.earlier_reports, with_predecessor))


def _outlines(
    request: EncodeRequest, source: SourceImages, when: datetime, place: Place = FIRST
) -> tuple[list[Dataset], list[EncodedObject]]:
    """The SEGs of one series, as data sets and as files that were read back."""
    kinds = [kind for kind in (ResultKind.SEG, ResultKind.SEG_DERIVED) if segments_of(kind, request.outlined)]
    outlines = [segmentation(kind, request, source, when, place) for kind in kinds]
    encoded = [finish(dataset, kind, source.patient, when) for kind, dataset in zip(kinds, outlines, strict=True)]
    for each in encoded:
        check_segmentation(each, request, source)
    return outlines, encoded
