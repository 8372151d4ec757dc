"""How much of a tumour, and of what the segmenter draws, lies inside the brain as brightness and shape find it.

    python -m bench.stray_parts --data ../shared/data/segmentation [--cases 4] [--thin]
    python -m bench.stray_parts --heads ../shared/data/t1c_with_skull

On `--data` each BraTS brain is put into a synthetic head, in 5 mm slices (`--thin`: at 1 mm), and goes through the
node's preparation without registration. On `--heads` (T1c of real heads, the enhancing part outlined) the spacing
that the files lost is taken to be 0.94 × 0.94 × 6 mm. A line is one connected part of at least 0.1 ml; "inside" is
what `bt_node.judge.stray_parts` compares with its limit; a part that the segmenter drew is false where the expert's
outline does not touch it. Where T1 is missing the node has no second brain; `--heads` makes it all the same, and
shows why.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from scipy import ndimage

from bench.machine import describe_machine
from bt_node.convert import prepare as preparation
from bt_node.convert.itk import array_to_itk, resample
from bt_node.convert.nifti import read_nifti
from bt_node.convert.prepare import PreparedStudy
from bt_node.convert.register import reference_report
from bt_node.domain.errors import BtNodeError
from bt_node.domain.geometry import BoolArray, Grid, Volume
from bt_node.domain.study import Role
from bt_node.infer.brain import BrainFinder, load_brain_finder
from bt_node.infer.release import read_release
from bt_node.infer.segmenter import Segmenter, load_segmenter
from bt_node.judge.stray_parts import share_inside
from bt_node.simulate.wrap import in_thick_slices, wrap_in_head
from training.segmenter.cases import find_cases
from training.segmenter.reading import read_images, read_labels

_LEAST_ML = 0.1
_LOST_SPACING = (0.94, 0.94, 6.0)  # x, y, z
_TOUCHING = np.ones((3, 3, 3), dtype=np.bool_)
_Case = tuple[str, Mapping[Role, Volume], BoolArray, Grid]


def synthetic_heads(data: Path, count: int | None, *, thin: bool) -> Iterator[_Case]:
    """BraTS brains in heads, and the expert's whole tumour on the grid of the brain."""
    for seed, case in enumerate(find_cases(data).cases[:count], start=1):
        labels, grid, _ = read_labels(case)
        head = wrap_in_head(read_images(case, tuple(Role)), seed=seed).volumes
        yield case.name, head if thin else in_thick_slices(head), labels > 0, grid


def real_heads(folder: Path, count: int | None) -> Iterator[_Case]:
    """T1c of real heads, and the expert's enhancing part."""
    for path in sorted(folder.glob("*_t1c.nii.gz"))[:count]:
        volume, mask = read_nifti(path), read_nifti(path.with_name(path.name.replace("_t1c", "_mask")))
        grid = Grid(volume.grid.shape, _LOST_SPACING, volume.grid.origin, volume.grid.direction)
        yield path.name, {Role.T1C: Volume(volume.array, grid)}, mask.array > 0, grid


def told(study: PreparedStudy, outline: BoolArray, truth: BoolArray | None) -> Iterator[str]:
    assert study.second_brain is not None
    parts, count, inside = share_inside(outline, study.second_brain.array)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    if count == 0:
        return
    away = ndimage.distance_transform_edt(parts != 1 + int(np.argmax(sizes[1:])))
    for part in np.argsort(-sizes[1:]) + 1:
        if sizes[part] / 1000 >= _LEAST_ML:
            false = truth is not None and not truth[parts == part].any()
            apart = f"{away[parts == part].min():3.0f} mm from the largest"
            yield f"{sizes[part] / 1000:7.1f} ml  {apart}  inside {inside[part]:.2f}{'  false' if false else ''}"


def tried(case: _Case, brain: BrainFinder, segmenter: Segmenter) -> None:
    name, volumes, truth, grid = case
    as_made = mock.patch.object(
        preparation, "register_all", lambda _, others: {r: reference_report(r) for r in others}
    )
    always = mock.patch.object(preparation, "_SECOND_BRAIN_NEEDS", Role.T1C)
    with as_made, always:
        try:
            study = preparation.prepare(volumes, brain.predict)
        except BtNodeError as error:
            print(f"{name}: refused: {error}")
            return
    if study.second_brain is None:
        print(f"{name}: brightness and shape find no brain")
        return
    on_grid = resample(array_to_itk(truth.astype(np.float32), grid), study.grid) > 0.5
    agreement = f"Dice of the two brains {study.brain_agreement:.2f}"
    print(f"{name}: {study.brain.volume_ml:.0f} ml and {study.second_brain.volume_ml:.0f} ml, {agreement}")
    for line in told(study, on_grid, None):
        print(f"    expert {line}")
    if Role.FLAIR in volumes or Role.T2 in volumes:
        inputs = {role: volume.array for role, volume in study.inputs.items()}
        drawn = segmenter.decide(segmenter.predict(inputs)) > 0
        for line in told(study, drawn, ndimage.binary_dilation(on_grid, _TOUCHING)):
            print(f"    drawn  {line}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of BraTS cases")
    parser.add_argument("--heads", type=Path, help="folder of T1c with skull, and masks")
    parser.add_argument("--cases", type=int, help="only the first so many")
    parser.add_argument("--thin", action="store_true", help="1 mm instead of 5 mm slices")
    arguments = parser.parse_args()
    print(describe_machine())
    cpu = torch.device("cpu")
    release = max((Path(__file__).parents[1] / "models").glob("bt-segmenter-*"))
    brain, segmenter = load_brain_finder(cpu), load_segmenter(read_release(release), cpu)
    if arguments.data:
        for case in synthetic_heads(arguments.data, arguments.cases, thin=arguments.thin):
            tried(case, brain, segmenter)
    if arguments.heads:
        for case in real_heads(arguments.heads, arguments.cases):
            tried(case, brain, segmenter)


if __name__ == "__main__":
    main()
