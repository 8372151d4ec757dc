"""Tumour labels as BINARY Segmentation objects (PS3.3 A.51) on the grid of the reference series."""

from __future__ import annotations

from datetime import datetime

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from bt_node.domain.geometry import LabelArray
from bt_node.domain.result import ResultKind
from bt_node.domain.tumour import LabelMap, Region
from bt_node.encode import codes
from bt_node.encode.equipment import FIRST, Place, common_attributes, contributing_equipment
from bt_node.encode.report import segments_of
from bt_node.encode.request import EncodeRequest
from bt_node.encode.source import FrameReference, SourceImages
from bt_node.encode.words import long_string

_CONTENT = {
    ResultKind.SEG: "Necrotic core, oedema and enhancing tumour",
    ResultKind.SEG_DERIVED: "Tumour core and whole tumour (they overlap)",
}
_WHOLE_ALONE = "Whole tumour"


def segmentation(
    kind: ResultKind,
    request: EncodeRequest,
    source: SourceImages,
    when: datetime,
    place: Place = FIRST,
) -> Dataset:
    """One SEG object: exclusive regions (SEG) or nested ones (SEG_DERIVED).

    It refers to the reference series alone: viewers follow one series reliably, and place frames by it.
    """
    regions = segments_of(kind, request.outlined)
    dataset = hd.seg.Segmentation(
        source_images=source.planes,
        pixel_array=segment_planes(request.labels, regions),
        segmentation_type="BINARY",
        segment_descriptions=[
            _description(number, region, request, str(source.patient.StudyInstanceUID))
            for number, region in enumerate(regions, start=1)
        ],
        content_label="BRAIN_TUMOUR",
        content_description=_WHOLE_ALONE if regions == (Region.WT,) else _CONTENT[kind],
        content_creator_name=f"{long_string(request.node.model_name)}^AI",
        contributing_equipment=[contributing_equipment(request.findings.segmenter, request, when)],
        **common_attributes(kind, request, when, place),
    )
    dataset.BodyPartExamined = "BRAIN"
    if source.is_multiframe:
        _point_at_frames(dataset, source)
    return dataset


def segment_planes(labels: LabelMap, regions: tuple[Region, ...]) -> LabelArray:
    """One channel for each segment, uint8 0 or 1, (Z, Y, X, segment)."""
    return np.stack([labels.mask(region) for region in regions], axis=-1).astype(np.uint8)


def _description(
    number: int, region: Region, request: EncodeRequest, study_instance_uid: str
) -> hd.seg.SegmentDescription:
    terms, release = codes.REGIONS[region], request.findings.segmenter
    algorithm = hd.AlgorithmIdentificationSequence(
        name=long_string(release.name),
        family=codes.ARTIFICIAL_INTELLIGENCE,
        version=long_string(release.version),
        source=long_string(request.node.manufacturer),
        parameters={"weights_sha256": release.weights_sha256},
    )
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=terms.label,
        segmented_property_category=codes.ABNORMAL_STRUCTURE,
        segmented_property_type=terms.finding,
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        tracking_uid=request.tracking_uid(study_instance_uid, region),
        tracking_id=region.value,
        anatomic_regions=[codes.BRAIN],
        display_color=hd.color.CIELabColor.from_rgb(*terms.colour),
    )


def _point_at_frames(dataset: Dataset, source: SourceImages) -> None:
    """Replace the stand-in instance of each plane by the true multi-frame instance and frame number."""
    stands_for = {str(plane.SOPInstanceUID): frame for plane, frame in zip(source.planes, source.frames, strict=True)}
    for group in dataset.PerFrameFunctionalGroupsSequence:
        for derivation in group.DerivationImageSequence:
            for item in derivation.SourceImageSequence:
                frame = stands_for.get(str(item.ReferencedSOPInstanceUID))
                if frame is None:  # one item is shared by all segments of a plane, and was mended before
                    continue
                item.ReferencedSOPClassUID = frame.sop_class_uid
                item.ReferencedSOPInstanceUID = frame.sop_instance_uid
                item.ReferencedFrameNumber = frame.frame_number
    dataset.SourceImageSequence = _instances(source.frames)
    dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence = _instances(source.frames)


def _instances(frames: tuple[FrameReference, ...]) -> DicomSequence:
    items = []
    for class_uid, instance_uid in dict.fromkeys((frame.sop_class_uid, frame.sop_instance_uid) for frame in frames):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = class_uid, instance_uid
        items.append(item)
    return DicomSequence(items)
