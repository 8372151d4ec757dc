"""What the mask left of the skull is not tumour; what is tumour stays, at the rim too."""

from __future__ import annotations

import numpy as np
import pytest

from bt_node.domain.geometry import BoolArray, ImageArray
from bt_node.domain.study import Role
from bt_node.judge.bone import bone_like, left_out

SIZE = 80


def a_brain() -> BoolArray:
    z, y, x = np.mgrid[:SIZE, :SIZE, :SIZE] - SIZE // 2
    return np.asarray(np.sqrt(z**2 + y**2 + x**2) < 36)


def a_part(x_from: int, x_to: int) -> BoolArray:
    """A block between two columns; the brain's rim lies at column 76."""
    part = np.zeros((SIZE,) * 3, dtype=np.bool_)
    part[34:46, 34:46, x_from:x_to] = True
    return part


def sequences(part: BoolArray, t1: float, t1c: float) -> dict[Role, ImageArray]:
    return {
        role: np.where(part, value, 0.1).astype(np.float32) * a_brain()
        for role, value in {Role.T1: t1, Role.T1C: t1c, Role.T2: 0.3, Role.FLAIR: 1.0}.items()
    }


def test_a_dark_part_along_the_rim_is_bone_and_a_lesion_beside_it_stays() -> None:
    rim, lesion = a_part(67, 76), a_part(20, 40)
    inputs = sequences(rim, -1.5, -1.5)
    assert np.array_equal(bone_like(rim | lesion, a_brain(), inputs), rim)


@pytest.mark.parametrize(("t1", "t1c"), [(0.3, 0.0), (-0.9, 1.2), (-0.9, -0.5), (-0.3, -1.5)])
def test_a_part_at_the_rim_that_is_not_dark_on_both_stays(t1: float, t1c: float) -> None:
    """A superficial tumour: somewhat dark before contrast, seldom dark after it."""
    rim = a_part(67, 76)
    assert not bone_like(rim, a_brain(), sequences(rim, t1, t1c)).any()


def test_a_dark_part_that_reaches_deep_stays() -> None:
    """A cyst or a necrotic core is dark on both too."""
    deep = a_part(45, 76)
    assert not bone_like(deep, a_brain(), sequences(deep, -1.5, -1.5)).any()


@pytest.mark.parametrize("missing", [Role.T1, Role.T1C])
def test_without_one_of_the_two_nothing_is_judged(missing: Role) -> None:
    rim = a_part(67, 76)
    inputs = sequences(rim, -1.5, -1.5)
    del inputs[missing]
    assert not bone_like(rim, a_brain(), inputs).any()


def test_what_is_left_out_is_said() -> None:
    assert left_out(0.0) == ()
    assert "27.3 ml at the rim of the brain" in left_out(27.3)[0]
