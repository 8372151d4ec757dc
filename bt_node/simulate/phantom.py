"""A phantom brain-tumour study: four MR sequences of one simulated patient, and the truth about its tumour.

Made wholly by formula from a seed, so the true volumes are known and nothing of a real patient is in it. The four
series lie on different grids, as a hospital's do; one was taken after the patient had moved by a known amount.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bt_node.domain.geometry import FloatArray, Grid, ImageArray, Volume
from bt_node.domain.study import Role
from bt_node.domain.tumour import LabelMap, Region
from bt_node.simulate.mr_series import STUDY_DATE, Patient, PhantomSeries, Protocol, StudyHeader, write_series
from bt_node.simulate.sequences import acquire, fine_grid, grid_points, render, resample
from bt_node.simulate.tumour import Head, TumourShape
from bt_node.simulate.uids import repeatable_uid

CORE_AXES_MM = TumourShape().core_axes_mm
OEDEMA_AXES_MM = TumourShape().oedema_axes_mm
CENTRE_MM = TumourShape().centre_mm


_HEAD_MIDDLE = (0.0, -2.0, -2.0)


@dataclass(frozen=True)
class Lattice:
    """In-plane matrix, pixel size, slices and tilt of one series. `shift_mm` moves the centre along (x, y, z)."""

    columns: int
    rows: int
    pixel_mm: float
    slices: int
    slice_mm: float
    tilt_deg: float  # about the x axis, on top of the study's own
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def grid(self, oblique: bool) -> Grid:
        """The grid in the world, near-axial; without `oblique` its axes are the patient's."""
        turn = _rotation("x", self.tilt_deg) @ _rotation("z", 4.0) @ _rotation("y", 2.5) if oblique else np.eye(3)
        extent = np.array(
            [
                (self.columns - 1) * self.pixel_mm,
                (self.rows - 1) * self.pixel_mm,
                (self.slices - 1) * self.slice_mm,
            ]
        )
        x, y, z = (float(value) for value in np.add(self.shift_mm, _HEAD_MIDDLE) - turn @ extent / 2)
        spacing = (self.pixel_mm, self.pixel_mm, self.slice_mm)
        direction = tuple(float(value) for value in turn.ravel())
        return Grid((self.slices, self.rows, self.columns), spacing, (x, y, z), direction)


_LATTICES: Mapping[Role, Lattice] = {
    Role.T1: Lattice(192, 208, 1.2, 50, 3.3, 9.0, (1.5, 0.0, 1.0)),
    Role.T1C: Lattice(192, 192, 1.25, 54, 3.0, 12.0),
    Role.T2: Lattice(256, 256, 0.94, 30, 5.5, 7.0, (0.0, 2.0, 0.0)),
    Role.FLAIR: Lattice(224, 256, 0.98, 28, 5.5, 10.0, (0.0, 0.0, 2.0)),
}
_MOVED = Role.FLAIR
_MOTION_DEG = (1.5, -1.0, 2.5)
_MOTION_MM = (1.5, -2.0, 1.0)
_THROUGH_SLICE_MM = 1.5  # a sample at least this often through the thickness of a slice


@dataclass(frozen=True, eq=False)
class PhantomStudy:
    """A written study and what is true about it.

    Attributes:
        folder: holds one folder per series.
        series: the series of each role.
        localizer: the survey in three planes that no role may take.
        truth: labels on the grid of the T1c series.
        volumes_ml: true volume of each region, from `truth`; all 0 without a tumour.
        tumour_centre_mm: LPS position of the centre of the tumour's core, None without a tumour.
        grids: grid of each series.
        motion: 4×4 for each role: head position when T1c was taken -> position in that series (LPS mm).
    """

    folder: Path
    study_instance_uid: str
    patient: Patient
    series: Mapping[Role, PhantomSeries]
    localizer: PhantomSeries
    truth: LabelMap
    volumes_ml: Mapping[Region, float]
    tumour_centre_mm: tuple[float, float, float] | None
    grids: Mapping[Role, Grid]
    motion: Mapping[Role, FloatArray] = field(default_factory=dict)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file of the study, the survey first."""
        return self.localizer.paths + tuple(path for role in Role for path in self.series[role].paths)

    @property
    def paths_by_uid(self) -> Mapping[str, Path]:
        """SOPInstanceUID -> file."""
        all_series = (self.localizer, *self.series.values())
        return {uid: path for one in all_series for uid, path in zip(one.sop_instance_uids, one.paths, strict=True)}


@dataclass(frozen=True, eq=False)
class BratsCase:
    """A case as BraTS gives it: skull-stripped, co-registered, 1 mm; 0 outside the brain in every sequence."""

    volumes: Mapping[Role, Volume]
    labels: LabelMap


def make_phantom(  # noqa: PLR0913 - keyword-only knobs of a phantom, each with its default
    folder: Path,
    *,
    seed: int = 1,
    tumour: bool = True,
    tumour_centre_mm: tuple[float, float, float] = CENTRE_MM,
    core_axes_mm: tuple[float, float, float] = CORE_AXES_MM,
    oedema_axes_mm: tuple[float, float, float] = OEDEMA_AXES_MM,
    irregularity_mm: float = 2.0,
    oblique: bool = True,
    contrast_named: bool = True,
    motion: bool = True,
    coarse: float = 1.0,
    patient: Patient | None = None,
    study_date: str = STUDY_DATE,
) -> PhantomStudy:
    """Write a study of four sequences and a survey, and return it with its truth.

    Args:
        folder: where the series' folders are written; made when absent.
        seed: another seed is another head and another noise.
        tumour: False leaves the tumour out and the rest as it is.
        tumour_centre_mm: centre of the core, LPS mm (0, 0, 0 is the middle of the brain; the default is on the left).
        core_axes_mm: semi-axes (x, y, z) of the enhancing core.
        oedema_axes_mm: semi-axes of the reach of the oedema, which fills white matter only.
        irregularity_mm: how far outlines wander; 0 makes the core an exact ellipsoid.
        oblique: tilt every series by its own angles, as scanners' planning does.
        contrast_named: False drops every hint at contrast from the headers: T1 before and after contrast then have
            the same description, TE and TR and differ by AcquisitionTime and SeriesNumber only.
        motion: let the patient move before the FLAIR series.
        coarse: 2 doubles voxels and slices in size (about an eighth of the time and files), for tests.
        patient: name and numbers in the headers.
        study_date: the day of the study, YYYYMMDD.

    Raises:
        ValueError: the sizes make no tumour.
    """
    shape = TumourShape(
        tumour_centre_mm, core_axes_mm, oedema_axes_mm=oedema_axes_mm, irregularity_mm=irregularity_mm
    )
    grids = {role: _coarser(lattice, coarse).grid(oblique) for role, lattice in _LATTICES.items()}
    moves = {role: _motion() if motion and role is _MOVED else np.eye(4) for role in Role}
    head = Head.draw(seed, shape if tumour else None)
    who = patient or Patient()
    # Whatever changes the content changes the UIDs, or a node would see another object under a known UID.
    key = repr((seed, shape if tumour else None, oblique, contrast_named, motion, coarse, who, study_date))
    header = StudyHeader(
        key, who, repeatable_uid(key, "study"), repeatable_uid(key, "frame of reference"), study_date
    )
    source = fine_grid(coarse)
    signals = _rendered(seed, shape if tumour else None, coarse)
    series = {
        role: write_series(
            folder / role.value.lower(),
            header,
            _protocols(contrast_named)[role],
            [(_scan(signals[role], source, grids[role], moves[role], (seed, number)), grids[role])],
        )
        for number, role in enumerate(Role)
    }
    survey = [
        (_scan(signals[Role.T1], source, grid, np.eye(4), (seed, 10 + number)), grid)
        for number, grid in enumerate(_survey_grids(coarse))
    ]
    localizer = write_series(folder / "survey", header, _SURVEY, survey)
    reference = grids[Role.T1C]
    truth = LabelMap(head.labels(grid_points(reference)).reshape(reference.shape), reference)
    return PhantomStudy(
        folder=folder,
        study_instance_uid=header.study_instance_uid,
        patient=who,
        series=series,
        localizer=localizer,
        truth=truth,
        volumes_ml={region: truth.volume_ml(region) for region in Region},
        tumour_centre_mm=tumour_centre_mm if tumour else None,
        grids=grids,
        motion=moves,
    )


def brats_like(
    *,
    seed: int = 1,
    tumour: TumourShape | None = None,
    shape: tuple[int, int, int] = (155, 240, 240),
    spacing_mm: float = 1.0,
) -> BratsCase:
    """A case like those of BraTS: four skull-stripped volumes on one upright grid, and their labels.

    Args:
        seed: another seed is another head.
        tumour: its shape; None is a head without a tumour.
        shape: voxels (Z, Y, X).
        spacing_mm: size of a voxel.
    """
    x, y, z = (
        -(count - 1) * spacing_mm / 2 + middle for count, middle in zip(shape[::-1], _HEAD_MIDDLE, strict=True)
    )
    grid = Grid(shape, (spacing_mm,) * 3, (x, y, z))
    head = Head.draw(seed, tumour)
    points = grid_points(grid)
    brain = (head.brain(points) < 0).reshape(shape)
    labels = head.labels(points).reshape(shape) * brain
    volumes = {}
    for number, (role, signal) in enumerate(render(head, grid, seed).items()):
        scanned = acquire(signal, grid, np.random.default_rng([seed, 20 + number]))
        volumes[role] = Volume(np.where(brain, np.maximum(scanned, np.float32(1)), np.float32(0)), grid)
    return BratsCase(volumes, LabelMap(labels.astype(np.uint8), grid))


# ---------------------------------------------------------------- parts


@functools.lru_cache(maxsize=1)  # the same head is often written twice running, with other headers
def _rendered(seed: int, shape: TumourShape | None, spacing_mm: float) -> Mapping[Role, ImageArray]:
    return render(Head.draw(seed, shape), fine_grid(spacing_mm), seed)


def _scan(signal: ImageArray, source: Grid, target: Grid, motion: FloatArray, seeds: tuple[int, int]) -> ImageArray:
    thin = max(1, round(target.spacing[2] / _THROUGH_SLICE_MM))
    seen = resample(signal, source, target, motion, thin)
    return acquire(seen, target, np.random.default_rng([*seeds, 4]))


def _coarser(lattice: Lattice, factor: float) -> Lattice:
    return Lattice(
        columns=round(lattice.columns / factor / 2) * 2,
        rows=round(lattice.rows / factor / 2) * 2,
        pixel_mm=lattice.pixel_mm * factor,
        slices=round(lattice.slices / factor),
        slice_mm=lattice.slice_mm * factor,
        tilt_deg=lattice.tilt_deg,
        shift_mm=lattice.shift_mm,
    )


def _rotation(axis: str, degrees: float) -> FloatArray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


def _motion() -> FloatArray:
    matrix = np.eye(4)
    x, y, z = _MOTION_DEG
    matrix[:3, :3] = _rotation("z", z) @ _rotation("y", y) @ _rotation("x", x)
    matrix[:3, 3] = _MOTION_MM
    return matrix


def _survey_grids(coarse: float) -> list[Grid]:
    """Three axial, three coronal and three sagittal slices, 30 mm apart, through the middle of the head."""
    size, pixel = round(128 / coarse), 2.0 * coarse
    half = (size - 1) * pixel / 2
    directions = {
        "axial": ((1, 0, 0), (0, 1, 0)),
        "coronal": ((1, 0, 0), (0, 0, -1)),
        "sagittal": ((0, 1, 0), (0, 0, -1)),
    }
    grids = []
    for row, column in directions.values():
        turn = np.column_stack([row, column, np.cross(row, column)]).astype(float)
        x, y, z = (float(value) for value in turn @ np.array([-half, -half, -30.0]))
        grids.append(Grid((3, size, size), (pixel, pixel, 30.0), (x, y, z), tuple(turn.ravel().tolist())))
    return grids


_SURVEY = Protocol(1, "SURVEY", "100100", 4.6, 11.0, scanning_sequence="GR", image_type=("ORIGINAL", "PRIMARY", "M"))


def _protocols(contrast_named: bool) -> Mapping[Role, Protocol]:
    t1 = Protocol(2, "T1W SE ax", "100500", 12.0, 520.0)
    after = {"description": "T1W SE ax +Gd", "contrast_agent": "Gadolinium"} if contrast_named else {}
    return {
        Role.T1: t1,
        Role.T2: Protocol(3, "T2W TSE ax", "100900", 100.0, 4600.0, None, "SE", "SK", 15),
        Role.FLAIR: Protocol(4, "FLAIR ax", "101500", 120.0, 9000.0, 2500.0, ["SE", "IR"], "SK", 21),
        Role.T1C: Protocol(
            5,
            after.get("description", t1.description),
            "102400",
            12.0,
            520.0,
            contrast_agent=after.get("contrast_agent"),
        ),
    }
