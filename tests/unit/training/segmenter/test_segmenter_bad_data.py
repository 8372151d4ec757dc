"""Bad files end in a message that names the case and the fault; good ones come out the same in any orientation."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the field writes it so

from bt_node.convert.itk import array_to_itk
from bt_node.convert.nifti import write_nifti
from bt_node.convert.regrid import axis_aligned_grid
from bt_node.domain.geometry import Grid, Volume
from bt_node.domain.study import Role
from training.segmenter import prepared
from training.segmenter.case import Case, CaseError, LabelScheme
from training.segmenter.leaks import check_no_leak, same_heads
from training.segmenter.prepared import PreparedCase, cached_cases, check_one_scheme
from training.segmenter.reading import onto_grid, read_images, read_labels

SHAPE = (6, 8, 10)
ROLES = (Role.T1C, Role.FLAIR)
RAS = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)


def grid(**changes: object) -> Grid:
    return Grid(**({"shape": SHAPE, "spacing": (1.0, 1.0, 1.0), "origin": (0.0, 0.0, 0.0)} | changes))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    random = np.random.default_rng(0)
    images = {role: tmp_path / f"A_{role.value}.nii.gz" for role in ROLES}
    for path in images.values():
        write_nifti(path, Volume(random.normal(100, 20, SHAPE).astype(np.float32), grid()))
    write(tmp_path / "A_seg.nii.gz", np.arange(np.prod(SHAPE)).reshape(SHAPE) % 3)
    return Case("A", images, tmp_path / "A_seg.nii.gz")


def write(path: Path, array: np.ndarray, where: Grid | None = None) -> None:
    write_nifti(path, Volume(array.astype(np.float32), where or grid()))


# ---------------------------------------------------------------- files


def cut_in_half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def without_its_end(content: bytes) -> bytes:
    return content[:-4]


def with_another_byte(content: bytes) -> bytes:
    plain = bytearray(gzip.decompress(content))
    return content[:-8] + (gzip.compress(bytes(plain[:-1]) + b"?"))[-8:]  # the checksum of other voxels


@pytest.mark.parametrize("damage", [cut_in_half, without_its_end, with_another_byte])
def test_a_damaged_file_is_named_where_itk_would_read_zeros(case: Case, damage: Callable[[bytes], bytes]) -> None:
    path = case.images[Role.FLAIR]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CaseError, match=r"A: A_FLAIR\.nii\.gz is damaged, cut off"):
        read_images(case, ROLES)


def test_a_plain_file_that_is_cut_off_is_named(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "A.nii"
    path.write_bytes(cut_in_half(gzip.decompress(case.labels.read_bytes())))
    with pytest.raises(CaseError, match=r"A: A\.nii is damaged, cut off or not NIfTI"):
        read_labels(Case("A", {}, path))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_no_numbers_are_counted(case: Case, value: float) -> None:
    array = np.ones(SHAPE)
    array[2, 3, 4:6] = value
    write(case.images[Role.T1C], array)
    with pytest.raises(CaseError, match=r"A: A_T1C\.nii\.gz holds 2 voxels"):
        read_images(case, ROLES)


def test_an_empty_sequence_is_named(case: Case) -> None:
    write(case.images[Role.FLAIR], np.zeros(SHAPE))
    with pytest.raises(CaseError, match=r"FLAIR.*is empty"):
        read_images(case, ROLES)


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("scheme", "numbers", "meant"),
    [
        (LabelScheme.BRATS, (0, 1, 2, 4), (0, 1, 2, 3)),
        (LabelScheme.BRATS, (0, 1, 2, 3), (0, 1, 2, 3)),
        (LabelScheme.BRATS_4, (0, 1, 2, 4), (0, 1, 2, 3)),
        (LabelScheme.BRATS_3, (0, 1, 2, 3), (0, 1, 2, 3)),
        (LabelScheme.DECATHLON, (0, 1, 2, 3), (0, 2, 1, 3)),  # 1 is oedema there
    ],
)
def test_each_scheme_becomes_the_nodes_own(
    case: Case, scheme: LabelScheme, numbers: tuple[int, ...], meant: tuple[int, ...]
) -> None:
    place = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 4
    write(case.labels, np.array(numbers)[place])
    labels, _, values = read_labels(Case("A", {}, case.labels, scheme=scheme))
    assert np.array_equal(labels, np.array(meant)[place])
    assert values == numbers


@pytest.mark.parametrize(
    ("scheme", "number", "said"),
    [
        (LabelScheme.BRATS, 5, r"labels \[5\] are unknown"),
        (LabelScheme.BRATS_4, 3, r"labels \[3\] are unknown"),
        (LabelScheme.BRATS_3, 4, "resection cavity"),
        (LabelScheme.BRATS, 0.5, "whole numbers"),
        (LabelScheme.BRATS, -1, "whole numbers"),
        (LabelScheme.BRATS, np.nan, "NaN or infinite"),
    ],
)
def test_a_label_out_of_range_is_explained(case: Case, scheme: LabelScheme, number: float, said: str) -> None:
    write(case.labels, np.full(SHAPE, number))
    with pytest.raises(CaseError, match=said):
        read_labels(Case("A", {}, case.labels, scheme=scheme))


def test_3_and_4_in_one_file_are_a_resection_cavity(case: Case) -> None:
    write(case.labels, np.arange(np.prod(SHAPE)).reshape(SHAPE) % 5)
    with pytest.raises(CaseError, match=r"3 and 4 lie side by side.*resection cavity"):
        read_labels(case)


def test_3_in_one_file_and_4_in_another_are_two_schemes() -> None:
    empty = np.zeros((1, 1, 1, 1), dtype=np.float16), np.zeros((1, 1, 1), dtype=np.uint8)
    one, two = PreparedCase("A", *empty, (0, 1, 3)), PreparedCase("B", *empty, (0, 2, 4))
    check_one_scheme([one, one])
    with pytest.raises(CaseError, match="A has 3 and B has 4"):
        check_one_scheme([one, two])


def test_labels_on_another_grid_are_refused() -> None:
    moved = grid(origin=(0.0, 0.0, 2.0))
    with pytest.raises(CaseError, match="labels do not lie on the images' grid"):
        onto_grid("A", np.zeros(SHAPE, dtype=np.uint8), moved, grid(), grid())


# ---------------------------------------------------------------- orientation, spacing, 4D


def test_labels_in_ras_come_out_as_those_in_lps(tmp_path: Path) -> None:
    labels = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 4
    write(tmp_path / "lps.nii.gz", labels)
    turned = grid(origin=(9.0, 7.0, 0.0), direction=RAS)
    write(tmp_path / "ras.nii.gz", labels[:, ::-1, ::-1], turned)
    for name in ("lps", "ras"):
        read, where, _ = read_labels(Case(name, {}, tmp_path / f"{name}.nii.gz"))
        assert np.array_equal(onto_grid(name, read, where, where, grid()), labels)


def test_labels_at_2_mm_are_resampled_without_new_numbers(tmp_path: Path) -> None:
    labels = np.zeros(SHAPE)
    labels[2:4, 3:5, 4:8] = 4
    wide = grid(spacing=(2.0, 2.0, 2.0))
    write(tmp_path / "wide.nii.gz", labels, wide)
    read, where, _ = read_labels(Case("wide", {}, tmp_path / "wide.nii.gz"))
    fine = axis_aligned_grid(np.zeros(3), np.array([18.0, 14.0, 10.0]))
    result = onto_grid("wide", read, where, where, fine)
    assert result.shape == (11, 15, 19)
    assert set(np.unique(result)) == {0, 3}
    assert (result > 0).sum() == pytest.approx(8 * (labels > 0).sum(), rel=0.35)


def test_a_4d_file_gives_each_role_its_channel(tmp_path: Path) -> None:
    planes = [np.random.default_rng(n).normal(size=SHAPE).astype(np.float32) for n in range(4)]
    path = tmp_path / "BRATS_001.nii.gz"
    sitk.WriteImage(sitk.JoinSeries([array_to_itk(plane, grid()) for plane in planes]), str(path))
    one = Case("BRATS_001", dict.fromkeys(ROLES, path), path, channels={Role.FLAIR: 0, Role.T1C: 2})
    read = read_images(one, ROLES)
    assert np.array_equal(read[Role.FLAIR].array, planes[0])
    assert np.array_equal(read[Role.T1C].array, planes[2])
    with pytest.raises(CaseError, match="no channel 7"):
        read_images(Case("BRATS_001", one.images, path, channels={Role.FLAIR: 7, Role.T1C: 2}), ROLES)


# ---------------------------------------------------------------- cache


@pytest.fixture
def preparations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the cases that were prepared anew."""
    done: list[str] = []

    def quick(one: Case, roles: object) -> PreparedCase:
        done.append(one.name)
        labels, _, values = read_labels(one)
        inputs = np.random.default_rng(1).normal(size=(2, *SHAPE)).astype(np.float16)
        return PreparedCase(one.name, inputs, labels, values)

    monkeypatch.setattr(prepared, "prepare_case", quick)
    return done


def test_a_cache_is_read_again_and_made_anew_only_where_it_must(
    case: Case, preparations: list[str], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    [first] = cached_cases([case], ROLES, cache)
    [second] = cached_cases([case], ROLES, cache)
    assert preparations == ["A"]
    assert np.array_equal(first.inputs, second.inputs)
    assert second.file_values == (0, 1, 2)


@pytest.mark.parametrize("end", ["inputs.npy", "labels.npy", "facts.json"])
@pytest.mark.parametrize("damage", [cut_in_half, lambda content: content[:-1] + b"?", lambda _: b""])
def test_a_damaged_cache_file_is_made_anew(
    case: Case, preparations: list[str], tmp_path: Path, end: str, damage: Callable[[bytes], bytes]
) -> None:
    cache = tmp_path / "cache"
    [first] = cached_cases([case], ROLES, cache)
    kept = np.array(first.inputs)
    [path] = cache.glob(f"*.{end}")
    path.write_bytes(damage(path.read_bytes()))
    [again] = cached_cases([case], ROLES, cache)
    assert preparations == ["A", "A"]
    assert np.array_equal(again.inputs, kept)


def test_a_source_that_changed_is_prepared_again(case: Case, preparations: list[str], tmp_path: Path) -> None:
    cached_cases([case], ROLES, tmp_path / "cache")
    write(case.labels, np.ones(SHAPE))
    [again] = cached_cases([case], ROLES, tmp_path / "cache")
    assert preparations == ["A", "A"]
    assert (again.labels == 1).all()


# ---------------------------------------------------------------- leaks


def head(name: str, seed: int) -> PreparedCase:
    """Coarse blobs, as different between seeds as heads are."""
    blobs = np.random.default_rng(seed).normal(size=(2, 8, 8, 8))
    image = blobs.repeat(4, axis=1).repeat(4, axis=2).repeat(4, axis=3)
    return PreparedCase(name, image.astype(np.float16), np.zeros((32, 32, 32), dtype=np.uint8))


def copied(one: PreparedCase, change: Callable[[np.ndarray], np.ndarray]) -> PreparedCase:
    return PreparedCase("copy", np.ascontiguousarray(change(np.array(one.inputs))), one.labels)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: x[..., ::-1],
        lambda x: x[:, ::-1, :, ::-1],
        lambda x: x * 1.3 + 0.2,
        lambda x: x + np.random.default_rng(9).normal(0, 0.3, x.shape),
        lambda x: np.stack([x[0], np.random.default_rng(8).normal(size=x.shape[1:])]),  # one sequence is enough
    ],
)
def test_a_copy_on_the_other_side_of_the_split_stops_the_run(change: Callable[[np.ndarray], np.ndarray]) -> None:
    heads = [head(f"H{seed}", seed) for seed in range(4)]
    with pytest.raises(CaseError, match=r"the same head trains and validates(?s:.)*H2 and copy"):
        check_no_leak(heads, [head("V", 9), copied(heads[2], change)])


def test_different_heads_are_no_leak() -> None:
    check_no_leak([head(f"H{seed}", seed) for seed in range(4)], [head("V", 9)])


def test_a_mirrored_copy_is_called_mirrored() -> None:
    one = head("A", 1)
    [pair] = same_heads([one], [copied(one, lambda x: x[..., ::-1])])
    assert pair.mirrored
    assert "mirrored" in str(pair)
