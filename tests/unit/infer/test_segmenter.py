"""The segmenter: windows blend to what the whole volume gives, labels stay nested, bad input is named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bt_node.domain.errors import OutOfDeviceMemoryError, ReleaseError, RolesMissingError
from bt_node.domain.geometry import ImageArray
from bt_node.domain.study import Role
from bt_node.domain.tumour import Region, ReleaseIdentity
from bt_node.infer import segmenter as module
from bt_node.infer.release import Release, SegmenterInput, SegmenterOutput
from bt_node.infer.segmenter import Segmenter, load_segmenter

CPU = torch.device("cpu")
WHOLE, CORE, ENHANCING = 0, 1, 2


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_fast_bfloat16", lambda device: False)


class _Local(nn.Module):
    """A network whose every output voxel sees a cube of `reach` voxels of the input."""

    def __init__(self, reach: int = 3) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.convolution = nn.Conv3d(4, 3, reach, padding=reach // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolution(x)


class _Exhausted(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise self.error


def segmenter_of(
    network: nn.Module, *, patch: int = 16, smallest_ml: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Segmenter:
    return Segmenter(
        ReleaseIdentity("test", "0", "0" * 64),
        SegmenterInput(
            roles=tuple(Role),
            spacing_mm=(1.0, 1.0, 1.0),
            orientation="LPS",
            normalisation="zscore-brain",
            patch=(patch,) * 3,
        ),
        SegmenterOutput(
            regions=(Region.WT, Region.TC, Region.ET), thresholds=(0.5, 0.5, 0.5), min_component_ml=smallest_ml
        ),
        network,
        CPU,
    )


def a_head(shape: tuple[int, int, int], seed: int = 0) -> dict[Role, ImageArray]:
    rng = np.random.default_rng(seed)
    return {role: rng.normal(size=shape).astype(np.float32) for role in Role}


def at_once(network: nn.Module, inputs: dict[Role, ImageArray]) -> ImageArray:
    with torch.inference_mode():
        return network(torch.from_numpy(np.stack([inputs[role] for role in Role]))[None]).sigmoid()[0].numpy()


@pytest.mark.parametrize(("reach", "worst", "mean"), [(1, 1e-5, 1e-6), (3, 0.25, 0.005)])
def test_windows_give_what_the_whole_volume_gives_at_once(reach: int, worst: float, mean: float) -> None:
    inputs, network = a_head((40, 36, 44)), _Local(reach).eval()
    difference = np.abs(segmenter_of(network).predict(inputs) - at_once(network, inputs))
    # A network that sees one voxel must agree exactly; one that looks around differs a little where a window ends.
    assert difference.max() < worst
    assert difference.mean() < mean


def test_one_window_over_everything_is_exactly_the_whole_volume() -> None:
    inputs, network = a_head((16, 16, 16)), _Local().eval()
    assert np.allclose(segmenter_of(network).predict(inputs), at_once(network, inputs), atol=1e-5)


def test_a_volume_smaller_than_the_window_keeps_its_shape(make_release: Callable[..., Release]) -> None:
    segmenter = load_segmenter(make_release(), CPU)
    probabilities = segmenter.predict(a_head((5, 30, 9)))
    assert probabilities.shape == (3, 5, 30, 9)
    assert probabilities.dtype == np.float32
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1


def test_channels_follow_the_releases_order_of_roles() -> None:
    class _EchoThirdChannel(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, 2:3].repeat(1, 3, 1, 1, 1)

    inputs = a_head((16, 16, 16))
    shuffled = {role: inputs[role] for role in (Role.FLAIR, Role.T2, Role.T1C, Role.T1)}
    expected = 1 / (1 + np.exp(-inputs[Role.T2]))
    assert np.allclose(segmenter_of(_EchoThirdChannel()).predict(shuffled)[0], expected, atol=1e-5)


def test_only_the_brains_box_is_computed_and_the_rest_is_zero() -> None:
    seen: list[tuple[int, ...]] = []

    class _Spy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(x.shape))
            return torch.ones_like(x[:, :3])

    inputs = {role: np.zeros((64, 64, 64), dtype=np.float32) for role in Role}
    for array in inputs.values():
        array[20:30, 24:36, 40:50] = 1.0
    probabilities = segmenter_of(_Spy()).predict(inputs)
    assert seen == [(1, 4, 16, 16, 16)]
    assert (probabilities[:, 20:30, 24:36, 40:50] > 0.7).all()
    assert probabilities.sum() == pytest.approx(3 * 10 * 12 * 10 / (1 + np.exp(-1)), rel=1e-4)


def test_read_only_arrays_are_accepted(recwarn: pytest.WarningsRecorder) -> None:
    inputs = a_head((16, 16, 16))
    for array in inputs.values():
        array.setflags(write=False)
    segmenter_of(_Local()).predict(inputs)
    assert not recwarn.list


def test_a_missing_sequence_is_named() -> None:
    inputs = a_head((16, 16, 16))
    del inputs[Role.FLAIR]
    with pytest.raises(RolesMissingError, match="FLAIR"):
        segmenter_of(_Local()).predict(inputs)


def test_an_empty_brain_and_values_that_are_not_numbers_are_refused() -> None:
    nothing = {role: np.zeros((8, 8, 8), dtype=np.float32) for role in Role}
    with pytest.raises(ValueError, match="brain"):
        segmenter_of(_Local()).predict(nothing)
    broken = a_head((8, 8, 8))
    broken[Role.T2][0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        segmenter_of(_Local()).predict(broken)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    ],
)
def test_running_out_of_memory_is_a_retry(error: Exception) -> None:
    with pytest.raises(OutOfDeviceMemoryError, match="cpu"):
        segmenter_of(_Exhausted(error)).predict(a_head((8, 8, 8)))


def test_other_failures_keep_their_name() -> None:
    with pytest.raises(RuntimeError, match="boom"):
        segmenter_of(_Exhausted(RuntimeError("boom"))).predict(a_head((8, 8, 8)))


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), smallest=st.sampled_from([0.0, 0.003, 0.02]), blur=st.booleans())
def test_labels_are_nested_whatever_the_probabilities(seed: int, smallest: float, blur: bool) -> None:
    drawn = np.random.default_rng(seed).random((3, 8, 9, 10), dtype=np.float32)
    probabilities = drawn.repeat(2, axis=1) if blur else drawn
    labels = segmenter_of(_Local(), smallest_ml=(smallest,) * 3).decide(probabilities)
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) <= {0, 1, 2, 3}
    over = probabilities > 0.5
    # A label claims its own region and every region around it, and claims none that the probabilities deny.
    assert over[WHOLE][labels > 0].all()
    assert over[CORE][(labels == 1) | (labels == 3)].all()
    assert over[ENHANCING][labels == 3].all()


def test_each_region_gets_its_label() -> None:
    probabilities = np.zeros((3, 1, 1, 5), dtype=np.float32)
    probabilities[WHOLE, ..., 1:4] = 0.9
    probabilities[CORE, ..., 2:4] = 0.9
    probabilities[ENHANCING, ..., 3:5] = 0.9  # the last one lies outside the core
    assert segmenter_of(_Local()).decide(probabilities).ravel().tolist() == [0, 2, 1, 3, 0]


def test_a_small_part_goes_with_all_that_is_nested_in_it() -> None:
    probabilities = np.zeros((3, 10, 10, 10), dtype=np.float32)
    probabilities[:, 0:4, 0:4, 0:4] = 0.9  # 64 voxels
    probabilities[:, 7:9, 7:9, 7:9] = 0.9  # 8 voxels
    labels = segmenter_of(_Local(), smallest_ml=(0.02, 0.0, 0.0)).decide(probabilities)
    assert (labels == 3).sum() == 64
    assert (labels[6:] == 0).all()


def test_the_smallest_part_is_measured_in_millilitres_of_the_given_grid() -> None:
    probabilities = np.zeros((3, 4, 8, 8), dtype=np.float32)
    probabilities[:, 1:3, 1:3, 1:3] = 0.9  # 8 voxels: 8 mm³ at 1 mm, 40 mm³ in slices of 5 mm
    segmenter = segmenter_of(_Local(), smallest_ml=(0.02, 0.0, 0.0))
    assert not segmenter.decide(probabilities).any()
    assert segmenter.decide(probabilities, voxel_mm3=5.0).any()


def test_the_same_input_gives_the_same_labels(make_release: Callable[..., Release]) -> None:
    release, inputs = make_release(), a_head((20, 24, 18))
    first, second = (load_segmenter(release, CPU).predict(inputs) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_classifier_cannot_be_loaded_as_a_segmenter(make_release: Callable[..., Release]) -> None:
    classes = ["glioma", "meningioma", "pituitary", "no_tumour"]
    release = make_release(
        kind="classifier",
        input={"size": 224, "plane": "axial", "sequence": "T1C", "normalisation": "unit"},
        output={"classes": classes, "temperature": 1.0},
    )
    with pytest.raises(ReleaseError, match="is a classifier"):
        load_segmenter(release, CPU)
