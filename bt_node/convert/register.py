"""Rigid registration of one sequence to the reference (T1c where there is one), and a report of what it did.

Mattes mutual information (Mattes 2003, doi:10.1109/TMI.2003.809072) from coarse to fine with SimpleITK. Both images
are first brought to about 2 mm in plane (finer pixels cost time and give no more than a tenth of a millimetre) and
smoothed: without that, noise makes mutual information dip exactly where the two grids coincide. The metric looks at
the head and a rim of air around it; inside the head alone T2 against T1c has many false maxima, the outline has none.
One thread and one seed, so that the same study gives the same voxels, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from bt_node.convert.itk import one_itk_thread, volume_to_itk
from bt_node.convert.motion import RigidMotion
from bt_node.convert.regrid import without_aliasing
from bt_node.domain.errors import RegistrationError
from bt_node.domain.geometry import FloatArray, Volume
from bt_node.domain.study import Role

__all__ = ["RegistrationReport", "RigidMotion", "head_mask", "reference_report", "register", "register_all"]

_WORKING_MM = 2.0
_LEVELS_MM = (4.0, 2.0)  # Gaussian widths, coarse to fine
_BINS = 32
_BRIGHTEST_PERCENT = 98.0
_RIM_MM = 12.0
_SEED = 20
_SAMPLES = (15_000, 60_000)  # voxels looked at on each level
_LEAST_GAIN = 0.01  # of mutual information (nats) before the scanner's own geometry is given up
_LEAST_OVERLAP = 0.4  # of the reference's head
_LEAST_INFORMATION = 0.25  # nats; unrelated heads and noise stay below
_START_ANGLES_DEG = (-25.0, 25.0)
_START_SHIFTS_MM = (-50.0, -25.0, 25.0, 50.0)  # along the slices, where a series covers part of the head
_NEARLY_ALL = 0.85  # of the reference's head
# What is found is tried again from these distances where there is reason for doubt.
_DOUBTED_TURN_DEG, _DOUBTED_SHIFT_MM = 8.0, 10.0
_AGAIN = (5.0, 12.0)  # degrees, and mm
_TRIES, _RESTARTS = 4, 2
# The step after each change of direction. With a half the steps died out up to 2.4 mm before the maximum.
_RELAXATION = 0.8
_LAST_STEP_MM = 0.002  # 0.01 ends up to 2 mm before the maximum
_HALF_VOXEL = 0.5
_LEAST_VOXELS = 4  # along each axis: ITK's recursive Gaussian needs so many


@dataclass(frozen=True)
class RegistrationReport:
    """What registration found for one role.

    Attributes:
        role: the sequence that was registered.
        motion: what is applied when the sequence is resampled; identity when `applied` is False.
        applied: False when the scanner's own geometry was as good, or for the reference itself.
        translation_mm: how far the middle of the head moved.
        rotation_deg: angle of the rotation.
        metric_before: mutual information in nats with the scanner's geometry (higher is better; 0 without overlap).
        metric_after: the same with `motion`.
        overlap: part of the reference head that the sequence covers, 0 to 1.
    """

    role: Role
    motion: RigidMotion
    applied: bool
    metric_before: float
    metric_after: float
    overlap: float

    @property
    def translation_mm(self) -> float:
        """How far the middle of the head moved."""
        return self.motion.translation_mm

    @property
    def rotation_deg(self) -> float:
        """Angle of the rotation."""
        return self.motion.rotation_deg


def reference_report(role: Role) -> RegistrationReport:
    """The report of the reference itself: nothing to do, full overlap."""
    return RegistrationReport(role, RigidMotion(), applied=False, metric_before=0.0, metric_after=0.0, overlap=1.0)


def head_mask(image: sitk.Image) -> sitk.Image:
    """Where there is tissue rather than air: uint8, largest part, holes filled. Any spacing."""
    smooth = sitk.SmoothingRecursiveGaussian(image, 2.0) if min(image.GetSize()) >= _LEAST_VOXELS else image
    tissue = sitk.OtsuThreshold(smooth, 0, 1, 128)
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(tissue))
    largest = sitk.Cast(parts == 1, sitk.sitkUInt8)
    filled: sitk.Image = sitk.BinaryFillhole(sitk.BinaryMorphologicalClosing(largest, (2, 2, 1)))
    return filled


def register(reference: Volume, moving: Volume, role: Role) -> RegistrationReport:
    """Find the rigid motion of the head between two series.

    Args:
        reference: the T1c, scanner's grid, with skull or without.
        moving: another sequence on its own grid, same or different frame of reference.
        role: names the moving sequence in the report and in errors.

    Raises:
        RegistrationError: the two do not overlap, or share no information after all attempts.
    """
    with one_itk_thread:
        return _Pair(_fixed(reference, role), _moving(role, moving), role).register()


def register_all(reference: Volume, others: Mapping[Role, Volume]) -> dict[Role, RegistrationReport]:
    """`register` for several series, side by side, each on one thread; what they share of the reference is made once.

    Raises:
        RegistrationError: as `register` does, for the first that fails.
    """
    if not others:
        return {}
    with one_itk_thread, ThreadPoolExecutor(max_workers=len(others)) as pool:
        moving = pool.map(_moving, others, others.values())
        fixed = _fixed(reference, next(iter(others)))
        found = pool.map(lambda role, image: _Pair(fixed, image, role).register(), others, moving)
        return dict(zip(others, found, strict=True))


class _UnfitError(Exception):
    """An image that nothing can be registered to; the words go on from "it" or "the reference"."""


def _fixed(reference: Volume, role: Role) -> _Fixed:
    try:
        return _Fixed.of(reference)
    except _UnfitError as error:
        raise RegistrationError(role.value, f"the reference {error}") from error


def _moving(role: Role, volume: Volume) -> sitk.Image:
    try:
        return _prepare(volume)
    except _UnfitError as error:
        raise RegistrationError(role.value, f"it {error}") from error


@dataclass(frozen=True, eq=False)
class _Fixed:
    """What every registration to one reference needs of it.

    Attributes:
        centre: the middle of the head, LPS mm.
        points: points all over the head, LPS mm.
        region: head and a rim of air, where the metric looks.
        levels: the image smoothed, coarse to fine.
    """

    centre: FloatArray
    points: FloatArray
    region: sitk.Image
    levels: tuple[sitk.Image, ...]

    @classmethod
    def of(cls, reference: Volume) -> _Fixed:
        image = _prepare(reference)
        levels = tuple(_smooth(image, width) for width in _LEVELS_MM)
        head = head_mask(levels[0])
        region = sitk.BinaryDilate(head, [int(_RIM_MM / s) for s in head.GetSpacing()])
        return cls(_middle(head), _sample_points(head), region, levels)


class _Pair:
    """Two images being registered; keeps what all steps share."""

    def __init__(self, fixed: _Fixed, moving: sitk.Image, role: Role) -> None:
        self.role = role
        self.points = fixed.points
        self.normal = np.reshape(moving.GetDirection(), (3, 3))[:, 2]
        self.region = _own(fixed.region)
        images = zip(fixed.levels, _LEVELS_MM, strict=True)
        self.levels = [(_own(image), _smooth(moving, width)) for image, width in images]
        self.centre, self.other_centre = fixed.centre, self._middle_of(self.levels[0][1])

    def _middle_of(self, moving: sitk.Image) -> FloatArray:
        try:
            return _middle(head_mask(moving))
        except _UnfitError as error:
            raise RegistrationError(self.role.value, f"it {error}") from error

    def register(self) -> RegistrationReport:
        identity = self._rigid(np.zeros(3))
        before = self._information(identity)
        after, best = self._confirmed(*self._best_of(self._starts(identity)))
        applied = after > before + _LEAST_GAIN
        chosen, metric = (best, after) if applied else (identity, before)
        overlap = self._overlap(chosen)
        self._refuse_failure(metric, overlap)
        motion = _motion(chosen) if applied else RigidMotion()
        return RegistrationReport(self.role, motion, applied, before, metric, overlap)

    def _best_of(self, starts: Sequence[sitk.Euler3DTransform]) -> tuple[float, sitk.Euler3DTransform]:
        found = [self._optimise(start) for start in starts]
        return max(((self._information(one), one) for one in found), key=lambda pair: pair[0])

    def _confirmed(self, after: float, best: sitk.Euler3DTransform) -> tuple[float, sitk.Euler3DTransform]:
        """What was found, once no start around it ends better: mutual information has false maxima.

        Only where there is reason for doubt: the patient moved far, or the series covers part of the head.

        Raises:
            RegistrationError: each try ends elsewhere and better, so the last one is no more to be trusted.
        """
        for _ in range(_TRIES):
            if not self._doubtful(best):
                return after, best
            coarse = [self._optimise(start, levels=1) for start in self._around(best)]
            likely = max(coarse, key=self._coarse_information)
            if self._coarse_information(likely) <= self._coarse_information(best) + _LEAST_GAIN:
                return after, best
            again, other = self._best_of([likely])
            if again <= after + _LEAST_GAIN:
                return after, best
            after, best = again, other
        raise RegistrationError(self.role.value, f"{_TRIES} tries ended at as many places, each better than before.")

    def _doubtful(self, transform: sitk.Euler3DTransform) -> bool:
        motion = _motion(transform)
        far = motion.rotation_deg > _DOUBTED_TURN_DEG or motion.translation_mm > _DOUBTED_SHIFT_MM
        return far or self._overlap(transform) < _NEARLY_ALL

    def _around(self, transform: sitk.Euler3DTransform) -> list[sitk.Euler3DTransform]:
        """The likeliest starts at some distance from `transform`, each turned or shifted along one axis."""
        steps = [sign * axis for axis in np.eye(3) for sign in (-1.0, 1.0)]
        angles = np.array([transform.GetAngleX(), transform.GetAngleY(), transform.GetAngleZ()])
        shift = np.array(transform.GetTranslation())
        chosen = []
        for distance in _AGAIN:
            near = [self._rigid(shift, np.degrees(angles) + distance * step) for step in steps]
            near += [self._rigid(shift + distance * step, np.degrees(angles)) for step in steps]
            chosen += sorted(near, key=self._coarse_information, reverse=True)[:_RESTARTS]
        return chosen

    def _refuse_failure(self, metric: float, overlap: float) -> None:
        if overlap < _LEAST_OVERLAP:
            raise RegistrationError(self.role.value, f"it covers {overlap:.0%} of the reference head.")
        if metric < _LEAST_INFORMATION:
            raise RegistrationError(
                self.role.value,
                f"mutual information {metric:.3f} is below {_LEAST_INFORMATION}; they look unrelated.",
            )

    def _rigid(self, translation: FloatArray, angles_deg: Sequence[float] = (0, 0, 0)) -> sitk.Euler3DTransform:
        transform = sitk.Euler3DTransform()
        transform.SetCenter(self.centre.tolist())
        transform.SetRotation(*(math.radians(angle) for angle in angles_deg))
        transform.SetTranslation(translation.tolist())
        return transform

    def _starts(self, identity: sitk.Euler3DTransform) -> list[sitk.Euler3DTransform]:
        """The scanner's geometry unless it hardly overlaps, and the best coarse guess when that is clearly better."""
        shift = self.other_centre - self.centre
        turns = [(0.0, 0.0, 0.0), *(tuple(a * e) for a in _START_ANGLES_DEG for e in np.eye(3))]
        shifts = [shift]
        if self._overlap(self._rigid(shift)) < _NEARLY_ALL:  # the middle of a part is not the middle of the head
            shifts += [shift + along * self.normal for along in _START_SHIFTS_MM]
        best = max((self._rigid(to, turn) for to in shifts for turn in turns), key=self._coarse_information)
        if self._overlap(identity) < _LEAST_OVERLAP:
            return [best]
        gain = self._coarse_information(best) - self._coarse_information(identity)
        return [identity, best] if gain > _LEAST_GAIN else [identity]

    def _overlap(self, transform: sitk.Euler3DTransform) -> float:
        """Part of the reference head's points that fall inside the moving image."""
        moving = self.levels[0][1]
        direction = np.asarray(moving.GetDirection()).reshape(3, 3)
        offset = _motion(transform).apply(self.points) - np.asarray(moving.GetOrigin())
        index = (offset @ direction) / np.asarray(moving.GetSpacing())
        inside = ((index >= -_HALF_VOXEL) & (index <= np.asarray(moving.GetSize()) - _HALF_VOXEL)).all(axis=1)
        return float(inside.mean())

    def _information(self, transform: sitk.Euler3DTransform, level: int = -1) -> float:
        """Mutual information in nats at `transform`; 0 when too little overlaps."""
        if self._overlap(transform) < _LEAST_OVERLAP:
            return 0.0
        method = self._method(level)
        method.MetricUseFixedImageGradientFilterOff()  # a value needs no gradients, and they take most of its time
        method.MetricUseMovingImageGradientFilterOff()
        method.SetInitialTransform(transform)
        return -float(method.MetricEvaluate(*self.levels[level]))

    def _coarse_information(self, transform: sitk.Euler3DTransform) -> float:
        return self._information(transform, level=0)

    def _method(self, level: int) -> sitk.ImageRegistrationMethod:
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(_BINS)
        method.SetMetricFixedMask(self.region)
        method.SetMetricSamplingStrategy(method.RANDOM)
        voxels = self.levels[level][0].GetNumberOfPixels()
        method.SetMetricSamplingPercentage(min(1.0, _SAMPLES[level] / voxels), _SEED)
        method.SetInterpolator(sitk.sitkLinear)
        return method

    def _optimise(self, start: sitk.Euler3DTransform, levels: int | None = None) -> sitk.Euler3DTransform:
        """From `start` to the nearest maximum, on the first `levels` levels or on all."""
        transform = sitk.Euler3DTransform(start)
        try:
            for level, pair in enumerate(self.levels[:levels]):
                method = self._method(level)
                method.SetOptimizerAsRegularStepGradientDescent(
                    learningRate=2.0 / (1 + level),  # mm: scales below turn every step into a shift of the head
                    minStep=_LAST_STEP_MM,
                    numberOfIterations=300,
                    relaxationFactor=_RELAXATION,
                    gradientMagnitudeTolerance=1e-7,
                )
                method.SetOptimizerScalesFromPhysicalShift()
                method.SetInitialTransform(transform, inPlace=True)
                method.Execute(*pair)
        except RuntimeError as error:
            detail = str(error).strip().splitlines()[-1]
            raise RegistrationError(self.role.value, f"the optimiser stopped: {detail}") from error
        return transform


def _own(image: sitk.Image) -> sitk.Image:
    """A copy for one thread: an ITK filter writes to its input which region it wants, so two may not share one."""
    copy = sitk.Image(image)
    copy.MakeUnique()
    return copy


def _smooth(image: sitk.Image, width_mm: float) -> sitk.Image:
    """Gaussian of `width_mm`, on no more voxels than that needs."""
    return without_aliasing(sitk.SmoothingRecursiveGaussian(image, width_mm), width_mm)


def _prepare(volume: Volume) -> sitk.Image:
    """About 2 mm in plane, and without the few very bright voxels that would push all tissue into a few bins."""
    image = without_aliasing(volume_to_itk(volume), _WORKING_MM)
    if min(image.GetSize()) < _LEAST_VOXELS:
        raise _UnfitError(f"has {min(image.GetSize())} slices or rows only, too few to compare.")
    values = sitk.GetArrayFromImage(image)
    tissue = values[values > values.mean()]
    if tissue.size == 0:  # a constant image; registration will find no information in it
        return image
    darker: sitk.Image = sitk.Minimum(image, float(np.percentile(tissue, _BRIGHTEST_PERCENT)))
    return darker


def _motion(transform: sitk.Euler3DTransform) -> RigidMotion:
    return RigidMotion(tuple(transform.GetMatrix()), tuple(transform.GetCenter()), tuple(transform.GetTranslation()))


def _middle(mask: sitk.Image) -> FloatArray:
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(mask)
    if not statistics.GetNumberOfLabels():
        raise _UnfitError("shows nothing: its values are all the same.")
    return np.asarray(statistics.GetCentroid(1))


def _sample_points(mask: sitk.Image, count: int = 2000) -> FloatArray:
    """World points spread over a mask, evenly by index."""
    index = np.argwhere(sitk.GetArrayFromImage(mask) > 0)[:, ::-1].astype(np.float64)
    index = index[:: max(1, len(index) // count)]
    direction = np.asarray(mask.GetDirection()).reshape(3, 3)
    points: FloatArray = (index * np.asarray(mask.GetSpacing())) @ direction.T + np.asarray(mask.GetOrigin())
    return points
