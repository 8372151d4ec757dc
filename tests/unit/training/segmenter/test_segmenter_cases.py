"""Every layout is found, patients stay on one side, and what is wrong with a folder is said in one message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bt_node.domain.study import Role
from training.segmenter.cases import CaseError, LabelScheme, find_brats2018, find_cases
from training.segmenter.split import (
    Split,
    check_patients,
    split_by_case,
    split_by_list,
    split_by_patient,
    split_in_folds,
)

OLD = ("t1", "t1ce", "t2", "flair", "seg")
NEW = ("t1n", "t1c", "t2w", "t2f", "seg")


def case(folder: Path, name: str, suffixes: tuple[str, ...] = OLD, sign: str = "_", end: str = ".nii.gz") -> Path:
    (folder / name).mkdir(parents=True)
    for suffix in suffixes:
        (folder / name / f"{name}{sign}{suffix}{end}").touch()
    return folder / name


# ---------------------------------------------------------------- BraTS


def test_brats_2018_is_found_here_and_under_its_grades(tmp_path: Path) -> None:
    case(tmp_path / "HGG", "Brats18_TCIA01_201_1")
    case(tmp_path / "LGG", "Brats18_2013_2_1")
    found = find_cases(tmp_path)
    assert found.layout == "brats2018"
    assert [(one.name, one.group) for one in found.cases] == [
        ("Brats18_2013_2_1", "Brats18_2013_2"),
        ("Brats18_TCIA01_201_1", "Brats18_TCIA01_201"),
    ]
    assert found.cases[0].images[Role.T1C].name == "Brats18_2013_2_1_t1ce.nii.gz"


def test_brats_2020_takes_plain_files_and_the_labels_of_case_355_under_their_other_name(tmp_path: Path) -> None:
    case(tmp_path, "BraTS20_Training_001", end=".nii")
    odd = case(tmp_path, "BraTS20_Training_355", OLD[:4], end=".nii")
    (odd / "W39_1998.09.19_Segm.nii").touch()
    found = find_cases(tmp_path)
    assert found.layout == "brats2020"
    assert found.cases[1].labels.name == "W39_1998.09.19_Segm.nii"
    assert "BraTS20_Training_355" in found.notes[0]
    assert {one.group for one in found.cases} == {"BraTS20_Training_001", "BraTS20_Training_355"}


def test_brats_2021_is_told_by_its_names(tmp_path: Path) -> None:
    case(tmp_path, "BraTS2021_00000")
    assert find_cases(tmp_path).layout == "brats2021"


def test_brats_2023_has_patients_with_several_time_points_and_3_for_enhancing(tmp_path: Path) -> None:
    for name in ("BraTS-GLI-00000-000", "BraTS-GLI-00000-001", "BraTS-GLI-00002-000"):
        case(tmp_path, name, NEW, "-")
    found = find_cases(tmp_path)
    assert found.layout == "brats2023"
    assert [one.group for one in found.cases] == ["BraTS-GLI-00000", "BraTS-GLI-00000", "BraTS-GLI-00002"]
    assert found.cases[0].images[Role.FLAIR].name == "BraTS-GLI-00000-000-t2f.nii.gz"
    assert found.cases[0].scheme is LabelScheme.BRATS_3


def test_every_missing_file_is_listed_at_once(tmp_path: Path) -> None:
    case(tmp_path, "A", ("t1", "t1ce", "flair", "seg"))
    case(tmp_path, "B", OLD[:4])
    with pytest.raises(CaseError, match=r"2 file(?s:.)*A_t2(?s:.)*B_seg"):
        find_brats2018(tmp_path)


def test_a_sequence_that_no_role_asks_for_may_be_missing(tmp_path: Path) -> None:
    case(tmp_path, "A", ("t1ce", "flair", "seg"))
    assert len(find_cases(tmp_path, "brats2018", (Role.T1C, Role.FLAIR)).cases) == 1


def test_no_cases_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"no cases(?s:.)*t1n(?s:.)*dataset.json(?s:.)*CSV"):
        find_cases(tmp_path)
    with pytest.raises(CaseError, match="does not exist"):
        find_cases(tmp_path / "nowhere")
    case(tmp_path, "A")
    with pytest.raises(CaseError, match=r"no cases.*brats2023.*t1n"):
        find_cases(tmp_path, "brats2023")


def test_the_same_case_twice_is_refused(tmp_path: Path) -> None:
    case(tmp_path / "HGG", "A")
    case(tmp_path / "LGG", "A")
    with pytest.raises(CaseError, match="more than once: A"):
        find_brats2018(tmp_path)


def test_one_image_compressed_and_plain_is_refused(tmp_path: Path) -> None:
    (case(tmp_path, "A") / "A_t1.nii").touch()
    with pytest.raises(CaseError, match="compressed and plain"):
        find_brats2018(tmp_path)


def test_two_layouts_in_one_folder_ask_for_a_choice(tmp_path: Path) -> None:
    case(tmp_path, "BraTS2021_00000")
    case(tmp_path, "BraTS-GLI-00000-000", NEW, "-")
    with pytest.raises(CaseError, match="brats2023, brats2021"):
        find_cases(tmp_path)
    assert len(find_cases(tmp_path, "brats2021").cases) == 1


# ---------------------------------------------------------------- Decathlon and tables


def decathlon(folder: Path, **changes: object) -> Path:
    facts = {
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
        "training": [{"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}],
    }
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir()
        (folder / part / "BRATS_001.nii.gz").touch()
        (folder / part / "._BRATS_001.nii.gz").touch()  # the archive was packed on a Mac
    (folder / "dataset.json").write_text(json.dumps(facts | changes), encoding="utf-8")
    return folder


def test_the_decathlon_gives_channels_of_one_file_and_a_label_scheme_of_its_own(tmp_path: Path) -> None:
    found = find_cases(decathlon(tmp_path))
    [one] = found.cases
    assert found.layout == "decathlon"
    assert one.channels == {Role.FLAIR: 0, Role.T1: 1, Role.T1C: 2, Role.T2: 3}
    assert set(one.images.values()) == {tmp_path / "imagesTr" / "BRATS_001.nii.gz"}
    assert one.scheme is LabelScheme.DECATHLON


def test_another_task_of_the_decathlon_is_refused(tmp_path: Path) -> None:
    decathlon(tmp_path, labels={"0": "background", "1": "liver", "2": "cancer"})
    with pytest.raises(CaseError, match="not those of Task01"):
        find_cases(tmp_path)


def test_a_missing_channel_is_named(tmp_path: Path) -> None:
    decathlon(tmp_path, modality={"0": "FLAIR", "1": "T1w"})
    with pytest.raises(CaseError, match="T1C, T2"):
        find_cases(tmp_path)


def table(folder: Path, text: str) -> Path:
    for name in ("a1", "a2", "a3", "a4", "as", "b1", "b2", "b3", "b4", "bs"):
        (folder / f"{name}.nii.gz").touch()
    (folder / "cases.csv").write_text(text.replace(" ", ".nii.gz"), encoding="utf-8")
    return folder


def test_a_table_names_paths_and_patients(tmp_path: Path) -> None:
    table(tmp_path, "case,patient,t1,t1c,t2,flair,label\nA,P,a1 ,a2 ,a3 ,a4 ,as \nB,P,b1 ,b2 ,b3 ,b4 ,bs \n")
    found = find_cases(tmp_path)
    assert found.layout == "table"
    assert [one.group for one in found.cases] == ["P", "P"]
    assert found.cases[1].images[Role.T2] == tmp_path / "b3.nii.gz"
    assert find_cases(tmp_path / "cases.csv", "table").cases == found.cases


def test_a_table_may_leave_out_what_the_roles_do_not_name(tmp_path: Path) -> None:
    table(tmp_path, "case,t1,t1c,flair,label\nA,,a2 ,a4 ,as \n")
    assert len(find_cases(tmp_path, "table", (Role.T1C, Role.FLAIR)).cases) == 1
    with pytest.raises(CaseError, match="columns missing: t2"):
        find_cases(tmp_path, "table")
    with pytest.raises(CaseError, match="line 2: no t1"):
        find_cases(tmp_path, "table", (Role.T1, Role.T1C))


def test_the_mistakes_of_a_table_come_at_once(tmp_path: Path) -> None:
    table(tmp_path, "case,t1,t1c,t2,flair,label\nA,a1 ,a2 ,a3 ,a4 ,as \n../B,b1 ,a2 ,b3 ,,bs \n")
    with pytest.raises(CaseError, match=r"3 mistake(?s:.)*no flair(?s:.)*'\.\./B'(?s:.)*a2.nii.gz stands twice"):
        find_cases(tmp_path)
    table(tmp_path, "case,t1,t1c,t2,flair,label,age\n")
    with pytest.raises(CaseError, match="unknown: age"):
        find_cases(tmp_path)


def test_a_table_that_lies_beside_brats_folders_is_not_a_second_layout(tmp_path: Path) -> None:
    case(tmp_path, "BraTS20_Training_001")
    (tmp_path / "survival_info.csv").write_text("Brats20ID,Age\n", encoding="utf-8")
    assert find_cases(tmp_path).layout == "brats2020"


# ---------------------------------------------------------------- split

PATIENT_OF = {f"P{number // 2}-{number % 2}": f"P{number // 2}" for number in range(20)}


def patients(names: tuple[str, ...]) -> set[str]:
    return {PATIENT_OF[name] for name in names}


def test_a_split_is_by_patient_and_repeats() -> None:
    split = split_by_patient(PATIENT_OF, 3, seed=1)
    assert len(split.validation) == 4  # two whole patients
    assert not patients(split.training) & patients(split.validation)
    assert split == split_by_patient(dict(reversed(PATIENT_OF.items())), 3, seed=1)
    assert split.sha256 != split_by_patient(PATIENT_OF, 3, seed=2).sha256


def test_one_case_a_patient_splits_as_it_always_did() -> None:
    names = [f"case{number}" for number in range(15)]
    split = split_by_case(names, 3, seed=1)
    assert split.validation == ("case0", "case5", "case9")  # by the code before there were patients
    assert len(split.training) == 12


def test_over_all_folds_every_case_validates_once() -> None:
    splits = [split_in_folds(PATIENT_OF, 3, fold, seed=1) for fold in range(3)]
    assert sorted(name for split in splits for name in split.validation) == sorted(PATIENT_OF)
    assert not any(patients(split.training) & patients(split.validation) for split in splits)
    with pytest.raises(CaseError, match="as many patients"):
        split_in_folds(PATIENT_OF, 11, 0, seed=1)


def test_a_list_may_name_cases_or_patients_but_not_tear_one_apart() -> None:
    assert split_by_list(PATIENT_OF, ["P3"]).validation == ("P3-0", "P3-1")
    with pytest.raises(CaseError, match="P3-1 trains, P3-0 validates"):
        split_by_list(PATIENT_OF, ["P3-0"])
    with pytest.raises(CaseError, match="not there: Q"):
        split_by_list(PATIENT_OF, ["P3", "Q"])


def test_a_patient_on_both_sides_is_refused() -> None:
    with pytest.raises(CaseError, match=r"1 patient(?s:.)*P0-0 trains, P0-1 validates"):
        check_patients(Split(("P0-0",), ("P0-1", "P1-0")), PATIENT_OF)


def test_a_split_without_training_cases_is_refused() -> None:
    with pytest.raises(CaseError, match="0 to train"):
        split_by_patient(PATIENT_OF, 20, seed=1)
