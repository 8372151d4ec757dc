"""The models on files of the researcher's own, without DICOM: NIfTI in, labels out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bt_node.convert.nifti import read_nifti
from bt_node.convert.prepare import prepare, prepare_preprocessed
from bt_node.convert.regrid import to_source_grid
from bt_node.domain.study import Role
from bt_node.domain.tumour import LabelMap
from bt_node.infer.segmenter import Segmenter


def segment_nifti(files: Mapping[Role, Path], segmenter: Segmenter, *, preprocessed: bool) -> LabelMap:
    """Outline the tumour on four NIfTI files.

    Args:
        files: one file for each role; any orientation, the header decides.
        segmenter: the loaded release.
        preprocessed: the files are BraTS-like: co-registered, skull-stripped. Otherwise they are treated as a
            clinical study: registered to the T1c, masked, resampled.

    Returns:
        Labels 0-3 on the grid of the T1c file.
    """
    volumes = {role: read_nifti(path) for role, path in files.items()}
    prepared = prepare_preprocessed(volumes) if preprocessed else prepare(volumes)
    probabilities = segmenter.predict({role: volume.array for role, volume in prepared.inputs.items()})
    target = volumes[Role.T1C].grid
    on_target = to_source_grid(probabilities, prepared.grid, target)
    return LabelMap(segmenter.decide(on_target, voxel_mm3=target.voxel_volume_mm3), target)
