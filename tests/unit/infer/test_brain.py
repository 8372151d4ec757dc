"""The brain finder around the package's networks: axes, which sequence it reads, hashes, and no brain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bt_node.domain.errors import OutOfDeviceMemoryError, ReleaseError
from bt_node.domain.geometry import ImageArray
from bt_node.domain.study import Role
from bt_node.infer import brain_weights
from bt_node.infer.brain import BrainFinder, load_brain_finder
from bt_node.simulate.phantom import brats_like
from bt_node.simulate.tumour import TumourShape
from bt_node.simulate.wrap import in_thick_slices, wrap_in_head


class Remembers:
    """In the package's place: keeps what it was given, and answers with it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.model = torch.nn.Linear(1, 1)
        self.seen = np.zeros(0)
        self.error = error

    def run_model(self, head: ImageArray) -> ImageArray:
        if self.error:
            raise self.error
        self.seen = head
        return head.copy()


def test_the_package_sees_right_anterior_superior_and_its_answer_comes_back_in_place() -> None:
    head = np.zeros((4, 5, 6), dtype=np.float32)
    head[1, 4, 0] = 1.0  # low, at the back, on the right
    package = Remembers()
    answer = BrainFinder(package).predict({Role.T1C: head})
    assert answer is not None
    assert np.array_equal(answer, head)
    assert [int(place) for place in np.argwhere(package.seen)[0]] == [5, 0, 1]  # x to the right, y to the front


def test_t1c_is_read_before_t1_and_flair_and_t2_never() -> None:
    heads = {role: np.full((2, 2, 2), value, dtype=np.float32) for value, role in enumerate(Role, start=1)}
    read = []
    while (answer := BrainFinder(Remembers()).predict(heads)) is not None:
        read.append(next(role for role, head in heads.items() if head[0, 0, 0] == answer[0, 0, 0]))
        del heads[read[-1]]
    assert read == [Role.T1C, Role.T1, Role.FLAIR]
    assert list(heads) == [Role.T2]


@pytest.mark.parametrize("error", [AssertionError("Not enough foreground"), ValueError("empty sequence")])
def test_where_nothing_resembles_a_brain_there_is_none(error: Exception) -> None:
    answer = BrainFinder(Remembers(error)).predict({Role.T1: np.ones((2, 3, 4), dtype=np.float32)})
    assert answer is not None
    assert answer.shape == (2, 3, 4)
    assert not answer.any()


def test_too_little_memory_has_its_name() -> None:
    with pytest.raises(OutOfDeviceMemoryError):
        BrainFinder(Remembers(MemoryError())).predict({Role.T1: np.ones((2, 2, 2), dtype=np.float32)})


def test_weights_that_are_not_the_measured_ones_are_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in brain_weights.WEIGHTS:
        (tmp_path / name).write_bytes(b"other code")
    monkeypatch.setattr(brain_weights, "weights_folder", lambda: tmp_path)
    with pytest.raises(ReleaseError, match=r"model.pt has SHA-256 .* install the pinned package again"):
        load_brain_finder(torch.device("cpu"))


def test_air_has_no_brain() -> None:
    answer = load_brain_finder(torch.device("cpu")).predict({Role.T1C: np.zeros((40, 50, 60), dtype=np.float32)})
    assert answer is not None
    assert not (answer > 0.5).any()


def test_a_phantom_brain_in_a_head_of_thick_slices_is_found() -> None:
    stripped = brats_like(seed=1, tumour=TumourShape(), shape=(150, 190, 160)).volumes
    head = wrap_in_head(stripped, seed=1)
    thick = in_thick_slices({Role.T1C: head.volumes[Role.T1C]})[Role.T1C]
    answer = load_brain_finder(torch.device("cpu")).predict({Role.T1C: np.repeat(thick.array, 5, axis=0)})
    assert answer is not None
    found, truth = answer > 0.5, head.brain.array[: len(answer)]
    assert 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth)) > 0.9
