"""Planted leaks are found, honest pictures are not called copies, and each way out does what it says."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bt_node.domain.tumour import TumourType
from bt_node.infer.classifier import read_picture
from bt_node.infer.picture import frame_head
from training.__main__ import main
from training.classifier.guard import LEAST_CORRELATION, MOST_BITS, POSES, SIZE, find_copies
from training.classifier.leaks import LEAKS, OnLeak
from training.classifier.pictures import CLASSES, TABLE, TRAIN, VALIDATION, Bytes, DataError, Entry, to_bytes
from training.classifier.prepare import _split_of_run
from training.classifier.recipe import ClassifierRecipe, read_recipe
from training.classifier.splitting import bound_together, split, with_groups
from training.classifier.toy import draw_head

Picture = NDArray[np.uint8]
RECIPE = Path(__file__).parents[3] / "training/recipes/classifier-toy.toml"


def heads(count: int, seed: int = 0, side: int = 96) -> list[Picture]:
    generator = np.random.default_rng(seed)
    return [draw_head(CLASSES[number % 4], generator, side) for number in range(count)]


def framed(pictures: list[Picture]) -> Bytes:
    return np.stack([to_bytes(frame_head(picture, SIZE)) for picture in pictures])


def worn(picture: Picture) -> Picture:
    """What happens to a picture on its way through the web: smaller, padded, brighter, recompressed."""
    small = Image.fromarray(picture).resize((70, 70), Image.Resampling.BICUBIC)
    wide = np.zeros((110, 90), dtype=np.uint8)
    wide[25:95, 5:75] = np.clip(np.asarray(small) * 1.15, 0, 255)
    file = io.BytesIO()
    Image.fromarray(wide).save(file, "JPEG", quality=50)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("pose", POSES, ids=lambda pose: pose.words)
def test_a_copy_is_found_in_every_pose_also_when_it_is_rescaled_padded_and_recompressed(pose) -> None:
    pictures = heads(12)
    laid = np.asarray(pose.apply(pictures[3][None])[0])
    for changed in (laid, worn(laid)):
        (found,) = find_copies(framed([*pictures, np.ascontiguousarray(changed)]))
        assert (found.first, found.second) == (3, 12)
        assert found.pose == pose
        assert found.distance <= MOST_BITS
        assert found.correlation >= LEAST_CORRELATION


def test_different_heads_are_no_copies_even_of_one_class() -> None:
    generator = np.random.default_rng(7)
    assert find_copies(framed([draw_head(TumourType.GLIOMA, generator) for _ in range(40)])) == []


def test_neighbouring_real_slices_of_other_patients_stop_no_honest_run(shared_data: Path) -> None:
    """Tumour pictures of the two parts come from different patients: no pair of them is called a copy."""
    folder = shared_data / "classification"
    with (folder / "split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["class"] == "pituitary"]
    chosen = [row for row in rows if row["split"] == "val"][::3] + [row for row in rows if row["split"] == "train"][
        ::8
    ]
    pictures = np.stack([to_bytes(frame_head(read_picture(folder / row["path"]), SIZE)) for row in chosen])
    across = [copy for copy in find_copies(pictures) if chosen[copy.first]["split"] != chosen[copy.second]["split"]]
    assert across == []


def write_folder(folder: Path, plant: Callable[[list[Picture]], None] | None = None, patients: bool = False) -> Path:
    """Four training and two validation heads of each class under split.csv."""
    pictures = heads(24)
    if plant is not None:
        plant(pictures)
    rows = []
    for number, picture in enumerate(pictures):
        kind, part = CLASSES[number % 4], "train" if number < 16 else "val"
        path = folder / "classification" / kind.value / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
        # With patients: the first training and the first validation picture are of one.
        patient = ("Doe^Jane" if number in (0, 16) else f"P{number}") if patients else ""
        rows.append([f"{kind.value}/{number:02d}.png", kind.value, part, patient])
    with (folder / "classification" / TABLE).open("w", newline="") as file:
        csv.writer(file).writerows([["path", "class", "split", "patient"], *rows])
    return folder


def mirrored(pictures: list[Picture]) -> None:
    pictures[16] = np.ascontiguousarray(pictures[0][:, ::-1])


def same_file(pictures: list[Picture]) -> None:
    pictures[16] = pictures[0]


def turned_and_worn(pictures: list[Picture]) -> None:
    pictures[16] = worn(np.ascontiguousarray(pictures[0][::-1, ::-1]))


def recipe() -> ClassifierRecipe:
    return read_recipe(RECIPE)


def guarded(folder: Path, run: Path, on_leak: OnLeak | None = None):
    return _split_of_run(recipe(), folder / "classification", run / "cache", on_leak)


@pytest.mark.parametrize(
    ("plant", "how"),
    [(same_file, "as it is"), (mirrored, "mirrored left-right"), (turned_and_worn, "turned by 180 degrees")],
)
def test_a_planted_copy_stops_the_training_command_with_a_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], plant: Callable[[list[Picture]], None], how: str
) -> None:
    data = write_folder(tmp_path / "data", plant)
    shared = ["--recipe", str(RECIPE), "--data", str(data), "--run", str(tmp_path / "run"), "--threads", "1"]
    assert main(["classifier", "train", *shared]) == 2
    told = capsys.readouterr().err
    assert f"glioma/00.png (train) = glioma/16.png (val): {how}" in told
    assert "--on-leak drop" in told
    (row,) = csv.DictReader((tmp_path / "run" / LEAKS).open())
    assert (row["train"], row["val"], row["how"]) == ("glioma/00.png", "glioma/16.png", how)
    assert not (tmp_path / "run" / TABLE).exists()


def test_one_patient_in_both_parts_stops_the_run_and_is_not_named(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", patients=True)
    with pytest.raises(DataError, match=r"glioma/00.png \(train\) = glioma/16.png \(val\): both of patient") as told:
        guarded(data, tmp_path / "run")
    assert "Doe" not in str(told.value) + (tmp_path / "run" / LEAKS).read_text()


def test_drop_leaves_out_the_training_copy_and_says_so(tmp_path: Path) -> None:
    entries, facts = guarded(write_folder(tmp_path / "data", mirrored), tmp_path / "run", OnLeak.DROP)
    assert len(entries) == 23
    assert "glioma/00.png" not in {entry.path for entry in entries}
    assert facts["guard"]["dropped"] == 1
    assert "1 training pictures were left out" in facts["guard"]["words"]


def test_regroup_brings_a_patient_together_in_one_part(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", patients=True)
    entries, facts = guarded(data, tmp_path / "run", OnLeak.REGROUP)
    parts = {entry.path: entry.split for entry in entries}
    assert len(entries) == 24
    assert parts["glioma/00.png"] == parts["glioma/16.png"] == TRAIN
    assert facts["guard"]["moved"] == 1


def test_honest_data_passes_and_the_run_keeps_its_split(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data")
    entries, facts = guarded(data, tmp_path / "run")
    assert facts["guard"]["copies_between_parts"] == 0
    again, same = guarded(data, tmp_path / "run")
    assert (again, same) == (entries, facts)
    Image.fromarray(heads(1, seed=9)[0]).save(data / "classification/glioma/04.png")
    with pytest.raises(DataError, match=r"(?s)changed since.*glioma/04.png"):
        guarded(data, tmp_path / "run")


def test_a_run_older_than_the_guard_is_told_of_its_leaks_and_not_stopped(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/data.json").write_text('{"pretrained_sha256": "abc"}')
    entries, facts = guarded(write_folder(tmp_path / "data", mirrored), tmp_path / "run")
    assert len(entries) == 24
    assert facts["pretrained_sha256"] == "abc"
    assert "too good" in facts["guard"]["words"]


def test_a_drawn_split_parts_no_group_and_no_copies_and_keeps_the_classes_in_proportion() -> None:
    pictures = heads(80)
    pictures += [np.ascontiguousarray(picture[::-1]) for picture in pictures[:8]]
    entries = [
        Entry(f"{number}.png", CLASSES[number % 4], group=f"patient-{number // 4 % 20}" if number < 40 else "")
        for number in range(88)
    ]
    together = bound_together(entries, find_copies(framed(pictures)))
    drawn = split(entries, together, recipe().data.split)
    for number in range(8):
        assert drawn[number].split == drawn[80 + number].split
    for group in {entry.group for entry in drawn} - {""}:
        assert len({entry.split for entry in drawn if entry.group == group}) == 1
    kept = [entry.kind for entry in drawn if entry.split == VALIDATION]
    assert all(4 <= kept.count(kind) <= 7 for kind in CLASSES)  # a quarter of 22 each
    assert split(entries, together, recipe().data.split) == drawn
    folds = [recipe().data.split.model_copy(update={"folds": 4, "fold": fold}) for fold in range(4)]
    seen = [entry.path for fold in folds for entry in split(entries, together, fold) if entry.split == VALIDATION]
    assert sorted(seen) == sorted(entry.path for entry in entries)


def test_where_nobody_knows_patients_a_cluster_of_copies_is_a_group() -> None:
    pictures = heads(4)
    pictures.append(np.ascontiguousarray(pictures[1][:, ::-1]))
    entries = [Entry(f"{number}.png", TumourType.GLIOMA, TRAIN) for number in range(5)]
    groups = [entry.group for entry in with_groups(entries, bound_together(entries, find_copies(framed(pictures))))]
    assert groups == ["0.png", "1.png", "2.png", "3.png", "1.png"]


def test_too_few_groups_to_split_are_told_by_class() -> None:
    entries = [Entry(f"{number}.png", CLASSES[number % 4], group="one") for number in range(8)]
    with pytest.raises(DataError, match=r"(?s)too few groups.*glioma: 1 group"):
        split(entries, bound_together(entries, []), recipe().data.split)
