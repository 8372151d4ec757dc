"""What may lie in a data folder, and what is said when it is not what training needs."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from bt_node.domain.errors import PictureError
from bt_node.domain.tumour import TumourType
from training.__main__ import main
from training.classifier import framing
from training.classifier.figshare import read_entry, read_mat
from training.classifier.folders import find_entries
from training.classifier.framing import framed, load_pictures, save_array
from training.classifier.pictures import CLASSES, TABLE, TRAIN, UNDECIDED, VALIDATION, DataError, Entry, class_of
from training.classifier.prepare import find_pictures
from training.classifier.recipe import DataRecipe, SplitRecipe
from training.classifier.splitting import check_classes, undecided
from training.classifier.tables import read_table
from training.classifier.toy import draw_head, write_toy
from training.runs import DiskFullError


def write_mat(path: Path, label: float = 1, patient: str = "100360", image: np.ndarray | None = None) -> None:
    """A file as Figshare's, small: MATLAB v7.3 keeps every array transposed, and text as character codes."""
    if image is None:
        image = draw_head(TumourType.MENINGIOMA, np.random.default_rng(0), side=48).astype(np.int16)
    with h5py.File(path, "w") as file:
        struct = file.create_group("cjdata")
        struct["label"] = np.array([[label]], dtype=np.float64)
        struct["PID"] = np.array([[ord(letter)] for letter in patient], dtype=np.uint16)
        struct["image"] = image.T
        struct["tumorBorder"] = np.zeros((1, 8))
        struct["tumorMask"] = np.zeros(image.T.shape, dtype=np.uint8)


def test_a_mat_file_gives_its_class_its_slice_upright_and_its_patient_under_another_name(tmp_path: Path) -> None:
    image = np.arange(48 * 40, dtype=np.int16).reshape(48, 40)
    for label, kind in ((1, TumourType.MENINGIOMA), (2, TumourType.GLIOMA), (3, TumourType.PITUITARY)):
        write_mat(tmp_path / f"{label}.mat", label, f"MR{label}", image)
        entry = read_entry(tmp_path, f"{label}.mat")
        assert entry.kind == kind
        assert entry.group.startswith("patient-")
        assert "MR" not in entry.group
    assert np.array_equal(read_mat(tmp_path / "1.mat"), image)
    write_mat(tmp_path / "4.mat", 2, "MR1")
    assert read_entry(tmp_path, "4.mat").group == read_entry(tmp_path, "1.mat").group


def test_mat_files_that_cannot_be_used_are_named_together_with_the_reason(tmp_path: Path) -> None:
    write_mat(tmp_path / "1.mat", label=7)
    (tmp_path / "2.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with h5py.File(tmp_path / "3.mat", "w") as file:
        file["other"] = 1
    write_mat(tmp_path / "4.mat", patient="")
    (tmp_path / "cvind.mat").write_bytes(b"the set's own folds")
    with pytest.raises(DataError, match=r"(?s)4 \.mat.*1.mat: label.*2.mat: .*v7.3.*3.mat: .*cjdata.*4.mat: PID"):
        find_entries(tmp_path, None, keep_parts=True)


def test_a_nan_in_a_mat_file_is_told_with_the_file(tmp_path: Path) -> None:
    image = np.ones((48, 48))
    image[3, 4] = np.nan
    write_mat(tmp_path / "1.mat", image=image)
    entries = find_entries(tmp_path, None, keep_parts=True)
    with pytest.raises(DataError, match=r"1.mat: intensities are not finite"):
        framed(tmp_path, entries, 32, tmp_path / "cache", "guard")


def test_folders_of_classes_are_found_in_the_spellings_in_use_beside_mat_files(tmp_path: Path) -> None:
    for name in ("glioma_tumor/a.jpg", "Meningioma/b.PNG", "pituitary/c.jpeg", "notumor/d.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    write_mat(tmp_path / "1.mat", 3)
    found = {entry.path: entry.kind for entry in find_entries(tmp_path, None, keep_parts=True)}
    assert found == {
        "1.mat": TumourType.PITUITARY,
        "Meningioma/b.PNG": TumourType.MENINGIOMA,
        "glioma_tumor/a.jpg": TumourType.GLIOMA,
        "notumor/d.png": TumourType.NONE,
        "pituitary/c.jpeg": TumourType.PITUITARY,
    }
    assert class_of("No Tumor") == class_of("no") == class_of("no_tumour") == TumourType.NONE


def test_folders_training_and_testing_are_kept_or_pooled(tmp_path: Path) -> None:
    for name in ("Training/glioma/a.jpg", "Testing/glioma/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    kept = {entry.path: entry.split for entry in find_pictures(tmp_path, DataRecipe())}
    assert kept == {"Training/glioma/a.jpg": TRAIN, "Testing/glioma/a.jpg": VALIDATION}
    assert {entry.split for entry in find_pictures(tmp_path, DataRecipe(parts="pool"))} == {UNDECIDED}


def test_a_folder_of_an_unknown_class_is_named_with_the_known_ones(tmp_path: Path) -> None:
    for name in ("glioma/a.jpg", "lymphoma/b.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"(?s)name no class:\n  - lymphoma.*Known names are glioma"):
        find_entries(tmp_path, None, keep_parts=True)


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_pictures_or_no_folder_is_told(tmp_path: Path, there: bool) -> None:
    with pytest.raises(DataError, match="holds no picture" if there else "is no folder"):
        find_entries(tmp_path if there else tmp_path / "absent", None, keep_parts=True)


def test_a_table_of_patients_must_fit_the_files(tmp_path: Path) -> None:
    (tmp_path / "glioma").mkdir()
    for name in "abc":
        (tmp_path / f"glioma/{name}.jpg").touch()
    table = tmp_path / "patients.csv"
    table.write_text("path,patient\nglioma/a.jpg,Doe^Jane\nglioma/b.jpg,\nglioma/x.jpg,P2\n")
    with pytest.raises(DataError, match=r"(?s)x.jpg: no such file.*c.jpg: the file has no row.*neither patient"):
        find_entries(tmp_path, "patients.csv", keep_parts=True)
    table.write_text("path,patient\nglioma/a.jpg,Doe^Jane\nglioma/b.jpg,Doe^Jane\nglioma/c.jpg,P2\n")
    groups = [entry.group for entry in find_entries(tmp_path, "patients.csv", keep_parts=True)]
    assert groups[0] == groups[1] != groups[2]
    assert "Doe" not in groups[0]


def test_all_mistakes_of_split_csv_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / TABLE).write_text(
        "path,class,split\na.png,lymphoma,train\na.png,glioma,train\nb.png,glioma,val\na.png,glioma,weekend\n"
    )
    with pytest.raises(
        DataError, match=r"(?s)4 mistake.*lymphoma.*weekend.*a.png: a path occurs twice.*b.png: no such"
    ):
        read_table(tmp_path)
    (tmp_path / TABLE).write_text("path,class\na.png,glioma\n")
    with pytest.raises(DataError, match=r"lacks the column.s. split"):
        read_table(tmp_path)


def test_a_class_that_is_missing_in_a_part_is_told_unless_volumes_show_it() -> None:
    entries = [Entry(f"{kind}/{part}", kind, part) for kind in CLASSES for part in (TRAIN, VALIDATION)]
    check_classes(entries, ())
    with pytest.raises(DataError, match=r"pituitary: no picture to validate"):
        check_classes([entry for entry in entries if entry.path != "pituitary/val"], ())
    without = [entry for entry in entries if entry.kind != TumourType.NONE]
    check_classes(without, (TumourType.NONE,))
    with pytest.raises(DataError, match=r"no_tumour: no picture to train"):
        check_classes(without, ())


def test_parts_that_are_told_for_some_pictures_only_are_refused() -> None:
    assert undecided([Entry("a", TumourType.GLIOMA)])
    with pytest.raises(DataError, match="1 of 2 pictures belong to no part"):
        undecided([Entry("a", TumourType.GLIOMA), Entry("b", TumourType.GLIOMA, TRAIN)])


def test_pictures_that_are_damaged_or_show_no_head_are_named_together(tmp_path: Path) -> None:
    head = draw_head(TumourType.GLIOMA, np.random.default_rng(0), side=48)
    Image.fromarray(head).save(tmp_path / "good.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "good.png").read_bytes()[:200])
    Image.fromarray(np.zeros_like(head)).save(tmp_path / "black.png")
    entries = [Entry(name, TumourType.GLIOMA, TRAIN) for name in ("good.png", "torn.png", "black.png")]
    with pytest.raises(DataError, match=r"(?s)2 picture\(s\).*torn.png: .*black.png: nothing but background"):
        load_pictures(tmp_path, entries, TRAIN, 32, tmp_path / "cache")


def test_the_work_is_announced_and_then_taken_from_the_cache(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_toy(tmp_path, 1)
    entries = find_entries(tmp_path, None, keep_parts=True)
    first = framed(tmp_path, entries, 64, tmp_path / "cache", "guard")
    assert "4 pictures at 64×64, 0.0 MiB of memory and of cache, about" in capsys.readouterr().out
    monkeypatch.setattr(framing, "read_image", lambda path: pytest.fail("framed again"))
    assert np.array_equal(framed(tmp_path, entries, 64, tmp_path / "cache", "guard"), first)


def test_a_disk_that_fills_while_caching_leaves_no_half_file(small_disk: Path) -> None:
    array = np.ones((30, 256, 256), dtype=np.uint8)
    with pytest.raises(DiskFullError, match="No space is left"):
        save_array(small_disk / "cache/pictures.npy", array)
    assert list((small_disk / "cache").iterdir()) == []
    save_array(small_disk / "cache/pictures.npy", array[:5])
    assert np.array_equal(np.load(small_disk / "cache/pictures.npy"), array[:5])


def test_a_cache_that_cannot_fit_is_refused_before_the_work(tmp_path: Path, small_disk: Path) -> None:
    write_toy(tmp_path / "data", 1)
    entries = find_entries(tmp_path / "data", None, keep_parts=True) * 20
    with pytest.raises(DataError, match=r"MiB free and the cache needs .* MiB"):
        framed(tmp_path / "data", entries, 224, small_disk / "cache", "pictures")


def test_a_fold_that_does_not_exist_is_a_mistake_in_the_recipe() -> None:
    SplitRecipe(folds=5, fold=4)
    for wrong in ({"folds": 5, "fold": 5}, {"folds": 1}, {"fold": 1}):
        with pytest.raises(ValueError, match="folds is 0 or at least 2"):
            SplitRecipe(**wrong)


def test_the_toy_command_writes_heads_of_four_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classifier", "toy", "--output", str(tmp_path), "--count", "3"]) == 0
    found = find_pictures(tmp_path / "classification", DataRecipe())
    assert sorted(entry.kind for entry in found) == sorted(list(CLASSES) * 3)
    assert "12 drawn heads" in capsys.readouterr().out


def test_a_mat_file_without_a_flat_image_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "1.mat", "w") as file:
        file.create_group("cjdata")["image"] = np.ones((2, 3, 4))
    with pytest.raises(PictureError, match="3 axes"):
        read_mat(tmp_path / "1.mat")
