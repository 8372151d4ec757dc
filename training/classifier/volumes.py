"""Slices of labelled T1c volumes: gliomas, and slices without tumour *of the same source*.

Pictures with and without tumour come from different collections, so that a network can tell them apart by their
tones alone. Here the same scanner gave both. Slices far from the tumour lie at other levels than the tumour does;
slices through the tumour whose healthy half is mirrored give negatives at the same level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from bt_node.convert.intensity import zscore_inside
from bt_node.convert.prepare import along_patient_axes
from bt_node.domain.geometry import BoolArray, ImageArray, LabelArray
from bt_node.domain.study import Role
from bt_node.domain.tumour import LABEL_OF, Region, TumourType
from bt_node.infer.picture import frame_head
from training.classifier.framing import save_array
from training.classifier.heads import wrap_in_head
from training.classifier.pictures import CLASSES, Bytes, DataError, Pictures, to_bytes
from training.classifier.recipe import VolumesRecipe
from training.runs import hash_of
from training.segmenter.case import Case, CaseError
from training.segmenter.cases import find_cases
from training.segmenter.reading import onto_grid, read_images, read_labels

_PLANES = ("axial", "coronal", "sagittal")  # the axis of (Z, Y, X) that is fixed: 0, 1, 2
_OEDEMA = LABEL_OF[Region.ED]


@dataclass(frozen=True, eq=False)
class LabelledSlice:
    """One slice of a T1c volume with its class; array (rows, columns), head up, anterior up in axial slices."""

    name: str
    picture: ImageArray
    kind: TumourType


@dataclass(frozen=True, eq=False)
class LabelledT1c:
    """The T1c of one case and its labels, both (Z, Y, X), 1 mm, LPS.

    Attributes:
        name: the case.
        t1c: intensities, 0 outside the brain.
        labels: 0, 1 NCR, 2 ED, 3 ET.
    """

    name: str
    t1c: ImageArray
    labels: LabelArray

    @property
    def inputs(self) -> ImageArray:
        """The brain as one sequence of z-scores (1, Z, Y, X), cropped: what cases are compared by."""
        brain = self.t1c > 0
        box = tuple(slice(int(hit.min()), int(hit.max()) + 1) for hit in np.nonzero(brain))
        return zscore_inside(self.t1c, brain)[box][None]


def find_volumes(folder: Path, wanted: VolumesRecipe) -> tuple[Case, ...]:
    """The cases with a T1c and labels, in any layout that the segmenter's training reads.

    Raises:
        CaseError: see `find_cases`.
    """
    return find_cases(folder, wanted.layout, (Role.T1C,), wanted.label_scheme).cases


def read_volume(case: Case) -> LabelledT1c:
    """Read, check and turn one case.

    Raises:
        CaseError: a file is damaged or empty, a label is unknown, or the two grids differ.
    """
    image = read_images(case, (Role.T1C,))[Role.T1C]
    raw, grid, _ = read_labels(case)
    turned = along_patient_axes(image)
    if not (turned.array > 0).any():
        raise CaseError(f"{case.name}: the T1c holds nothing above 0")
    return LabelledT1c(case.name, turned.array, onto_grid(case.name, raw, grid, image.grid, turned.grid))


def load_slices(cases: Sequence[Case], wanted: VolumesRecipe, size: int, seed: int, cache: Path) -> Pictures:
    """Cut, wrap in synthetic heads and frame the slices of some cases, or take them from `cache`."""
    key = hash_of([size, seed, wanted.model_dump(), [case.name for case in cases]])
    stored = cache / f"slices-{key[:16]}.npy"
    facts, called = (cache / f"slices-{key[:16]}.{word}.npy" for word in ("labels", "names"))
    if not (stored.exists() and facts.exists()):
        grey, labels, names = _cut_all(cases, wanted, size, seed)
        save_array(called, np.array(names))
        save_array(facts, labels)
        save_array(stored, grey)
    if not called.exists():  # the cache of an older run
        save_array(called, np.array(_names(cases, wanted)))
    grey, labels, names = np.load(stored), np.load(facts), [str(name) for name in np.load(called)]
    return Pictures(grey, labels, tuple(names), "volumes", tuple(name.split("/")[0] for name in names))


def cut_slices(name: str, t1c: ImageArray, tumour: ImageArray, wanted: VolumesRecipe) -> Iterator[LabelledSlice]:
    """Slices of one case (Z, Y, X), 1 mm, LPS: gliomas, tumour-free ones, and mirrored healthy halves.

    A slice with little tumour, or with oedema only, belongs to no class and is left out.
    """
    for axis, plane in enumerate(_PLANES):
        for index in range(0, t1c.shape[axis], wanted.spacing_mm):
            picture = _upright(np.take(t1c, index, axis), axis)
            labels = _upright(np.take(tumour, index, axis), axis)
            if (picture > 0).sum() < wanted.brain_mm2:
                continue
            where = f"{name}/{plane}/{index:03d}"
            if not labels.any():
                yield LabelledSlice(where, picture, TumourType.NONE)
            elif ((labels > 0) & (labels != _OEDEMA)).sum() >= wanted.glioma_mm2:
                yield LabelledSlice(where, picture, TumourType.GLIOMA)
                if plane != "sagittal":
                    yield from _mirrored(where, picture, labels > 0)


def _cut_all(
    cases: Sequence[Case], wanted: VolumesRecipe, size: int, seed: int
) -> tuple[Bytes, npt.NDArray[np.int64], list[str]]:
    generator = np.random.default_rng(seed)
    grey, labels, names = [], [], []
    for case in track(cases, description="slices of volumes", console=Console(stderr=True)):
        for cut in _slices_of(case, wanted):
            wrapped = [wrap_in_head(cut.picture, generator) for _ in range(wanted.heads)]
            for picture in (cut.picture, *wrapped):
                grey.append(to_bytes(frame_head(picture, size)))
                labels.append(CLASSES.index(cut.kind))
            names += _called(cut, wanted)
    if not grey:
        raise DataError("no slice of the volumes holds enough brain; see glioma_mm2 and brain_mm2 in [data.volumes]")
    return np.stack(grey), np.array(labels, dtype=np.int64), names


def _names(cases: Sequence[Case], wanted: VolumesRecipe) -> list[str]:
    return [name for case in cases for cut in _slices_of(case, wanted) for name in _called(cut, wanted)]


def _slices_of(case: Case, wanted: VolumesRecipe) -> Iterator[LabelledSlice]:
    volume = read_volume(case)
    return cut_slices(case.name, volume.t1c, volume.labels, wanted)


def _called(cut: LabelledSlice, wanted: VolumesRecipe) -> list[str]:
    """Names of a slice and of its copies in synthetic heads; they begin with the case."""
    return [cut.name, *(f"{cut.name}/head-{number}" for number in range(wanted.heads))]


def _upright(cut: ImageArray, axis: int) -> ImageArray:
    """Coronal and sagittal rows from head to foot, as pictures are shown; axial rows are so already."""
    return cut if axis == 0 else cut[::-1]


def _mirrored(where: str, picture: ImageArray, tumour: BoolArray) -> Iterator[LabelledSlice]:
    """The healthy half and its mirror image, where the tumour keeps to one side of the middle column."""
    columns = np.flatnonzero((picture > 0).any(axis=0))
    middle = int(columns[0] + columns[-1] + 1) // 2
    half = min(middle, picture.shape[1] - middle)
    left, right = picture[:, middle - half : middle], picture[:, middle : middle + half]
    sides = ((left, tumour[:, :middle]), (right[:, ::-1], tumour[:, middle:]))
    for healthy, ill in sides:
        if not ill.any():
            whole = np.concatenate([healthy, healthy[:, ::-1]], axis=1)
            yield LabelledSlice(f"{where}/mirrored", whole, TumourType.NONE)
