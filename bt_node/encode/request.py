"""What `encode_results` is asked for: findings, the images they rest on, and who speaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from bt_node.domain.follow_up import FollowUp
from bt_node.domain.result import EarlierReport
from bt_node.domain.role import Role
from bt_node.domain.study import StackedSeries
from bt_node.domain.tumour import LABEL_OF, PARTS_OF, Findings, LabelMap, Region, RegionMeasurement
from bt_node.encode.uids import tracking_uid

_VOLUME_TOLERANCE = 1e-3


@dataclass(frozen=True)
class NodeIdentity:
    """The equipment that makes the results (PS3.3 C.7.5.1): manufacturer, model name, software version, serial."""

    manufacturer: str
    model_name: str
    version: str
    serial: str


@dataclass(frozen=True, eq=False)
class FurtherOutline:
    """The same tumour once more, on the grid of another series of the study.

    Attributes:
        role: what that series is (T1C, FLAIR, …); stands in SeriesDescription.
        reference: the series; its instances are among the request's `paths`.
        labels: tumour labels on `reference.grid`.
        measurements: sizes of the same regions that the request's findings measure, on this grid.
    """

    role: Role
    reference: StackedSeries
    labels: LabelMap
    measurements: Mapping[Region, RegionMeasurement]


@dataclass(frozen=True, eq=False)
class EncodeRequest:
    """One study's findings, ready to become DICOM.

    Attributes:
        reference: the series whose grid counts: SEG and report lie on it and refer to it alone.
        paths: files by SOPInstanceUID of every image that the models read, those of `reference` included.
        labels: tumour labels on `reference.grid`.
        findings: measurements, tumour type and cautions.
        analysed_at: when the analysis of this input began, with its time zone; kept for re-runs, so that these are
            byte-identical. Dates and times in the objects are its wall-clock reading, unless the source names another
            offset (TimezoneOffsetFromUTC).
        node: who speaks.
        earlier_reports: reports on this study that may have reached an archive, oldest first. The latest is named as
            predecessor (PS3.3 C.17.2), unless this one is the same again.
        further: outlines on other series, each of which becomes SEGs of its own; the report measures none of them.
        follow_up: the comparison with the same patient's former study, where there is one.
    """

    reference: StackedSeries
    paths: Mapping[str, Path]
    labels: LabelMap
    findings: Findings
    analysed_at: datetime
    node: NodeIdentity
    earlier_reports: tuple[EarlierReport, ...] = ()
    further: tuple[FurtherOutline, ...] = ()
    follow_up: FollowUp | None = None

    def __post_init__(self) -> None:
        if not self.labels.grid.is_close(self.reference.grid):
            raise ValueError("labels do not lie on the grid of the reference series")
        if self.analysed_at.tzinfo is None:
            raise ValueError("analysed_at needs a time zone")
        absent = {piece.sop_instance_uid for piece in self.reference.slices} - set(self.paths)
        if absent:
            raise ValueError(f"{len(absent)} instance(s) of the reference series have no path")
        self._check_measurements()

    def _check_measurements(self) -> None:
        for region, measurement in self.findings.measurements.items():
            measured = measurement.volume_ml
            counted = self._voxels(region) * self.labels.grid.voxel_volume_mm3 / 1000.0
            if abs(measured - counted) > _VOLUME_TOLERANCE * max(counted, 1.0):
                raise ValueError(f"{region.value} measures {measured:.3f} ml but its labels hold {counted:.3f} ml")

    @cached_property
    def _counts(self) -> Mapping[Region, int]:
        """Voxels of the exclusive regions, counted once: label maps of real studies are large."""
        return {region: int(np.count_nonzero(self.labels.array == label)) for region, label in LABEL_OF.items()}

    def _voxels(self, region: Region) -> int:
        return sum(self._counts[part] for part in PARTS_OF[region])

    def tracking_uid(self, study_instance_uid: str, region: Region) -> str:
        """Tracking UID of a region: the former study's where the tumour is the same one, else this study's own."""
        going_on = self.follow_up.tracking if self.follow_up else {}
        return going_on.get(region) or tracking_uid(study_instance_uid, region)

    def on(self, outline: FurtherOutline) -> EncodeRequest:
        """The request for the SEGs of a further series."""
        findings = replace(self.findings, measurements=outline.measurements)
        return replace(self, reference=outline.reference, labels=outline.labels, findings=findings, further=())

    @cached_property
    def outlined(self) -> tuple[Region, ...]:
        """Regions that were assessed and have at least one voxel, in the order NCR, ED, ET, TC, WT."""
        return tuple(region for region in Region if region in self.findings.measurements and self._voxels(region))
