"""From prepared sequences to probabilities of tumour, without what is bone."""

from __future__ import annotations

import numpy as np

from bt_node.convert.prepare import PreparedStudy
from bt_node.domain.geometry import ImageArray
from bt_node.infer.segmenter import Segmenter
from bt_node.judge.bone import bone_like


def tumour_probabilities(prepared: PreparedStudy, segmenter: Segmenter) -> tuple[ImageArray, float]:
    """Ask the segmenter, and take off what it outlined on bone at the brain's rim.

    Returns:
        Probabilities (3, Z, Y, X) of WT, TC and ET on the prepared grid, and the volume in ml that was taken off.
    """
    inputs = {role: volume.array for role, volume in prepared.inputs.items()}
    probabilities = segmenter.predict(inputs)
    bone = bone_like(segmenter.decide(probabilities) > 0, prepared.brain.array, inputs)
    taken_off_ml = float(np.count_nonzero(bone)) * prepared.grid.voxel_volume_mm3 / 1000.0
    return np.where(bone, np.float32(0.0), probabilities), taken_off_ml
