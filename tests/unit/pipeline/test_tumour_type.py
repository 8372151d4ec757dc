"""From slices to a study: which slices, with what weight, where they lie, and when the classifier does not answer."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import fixed_classifier

from bt_node.convert.prepare import PreparedStudy
from bt_node.convert.register import reference_report
from bt_node.domain.geometry import Grid, Mask, Volume
from bt_node.domain.study import Role, SliceFacts, StackedSeries
from bt_node.domain.tumour import LabelMap, SliceBasis, TumourType
from bt_node.pipeline.tumour_type import CLASSIFIER_SLICES, name_tumour_type

GRID = Grid((60, 40, 40), (1.0, 1.0, 1.0), (-20.0, -20.0, 100.0))
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
SAGITTAL = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def head() -> Volume:
    y, x = np.mgrid[:40, :40]
    inside = np.hypot(y - 20, x - 20) < 18
    return Volume(np.repeat((inside * (200 + 3 * x))[None], 60, axis=0).astype(np.float32), GRID)


def prepared(*roles: Role) -> PreparedStudy:
    heads = dict.fromkeys(roles, head())
    brain = Mask(head().array > 0, GRID)
    return PreparedStudy(heads, brain, heads, {role: reference_report(role) for role in roles})


def scanned(direction: tuple[float, ...] = AXIAL, slice_mm: float = 5.0) -> StackedSeries:
    """Slices 5 mm apart from z 100 mm upwards, named 1.0, 1.1 and on."""
    grid = Grid((12, 40, 40), (1.0, 1.0, slice_mm), GRID.origin, direction)
    slices = tuple(SliceFacts(f"1.{z}", 0, (0, 0, 0), (1, 0, 0, 0, 1, 0), (1, 1), 40, 40) for z in range(12))
    return StackedSeries("1", Volume(np.zeros(grid.shape, np.float32), grid), slices)


def outline(*levels: int, label: int = 3) -> LabelMap:
    array = np.zeros(GRID.shape, np.uint8)
    for size, level in enumerate(levels, start=4):
        array[level, 20, 10 : 10 + size] = label
    return LabelMap(array, GRID)


def test_the_slices_of_the_core_answer_by_area_each_with_its_height_and_nearest_image() -> None:
    rows = [(9.0, 0.0, 0.0, 0.0), (0.0, 9.0, 0.0, 0.0)]
    answer = name_tumour_type(prepared(Role.T1C), outline(29, 30), {Role.T1C: scanned()}, fixed_classifier(*rows))
    finding = answer.finding
    assert finding is not None
    assert finding.basis is SliceBasis.CORE
    assert [each.level_mm for each in finding.slices] == [129.0, 130.0]
    assert {each.sop_instance_uid for each in finding.slices} == {"1.6"}  # 30 mm above the lowest, 5 mm apart
    assert [each.share for each in finding.slices] == pytest.approx([4 / 9, 5 / 9])
    assert finding.top is TumourType.MENINGIOMA
    assert finding.probabilities[TumourType.GLIOMA] == pytest.approx(4 / 9, abs=1e-3)


def test_oedema_alone_guides_the_choice_where_there_is_no_core() -> None:
    answer = name_tumour_type(prepared(Role.T1C), outline(10, 11, label=2), {Role.T1C: scanned()}, fixed_classifier())
    assert answer.finding
    assert answer.finding.basis is SliceBasis.WHOLE
    assert [each.level_mm for each in answer.finding.slices] == [110.0, 111.0]


def test_without_an_outline_a_fixed_set_through_the_brain_answers() -> None:
    answer = name_tumour_type(prepared(Role.T1C), outline(), {Role.T1C: scanned()}, fixed_classifier())
    assert answer.finding
    assert answer.finding.basis is SliceBasis.SPREAD
    assert answer.finding.slices_used == CLASSIFIER_SLICES
    levels = [each.level_mm for each in answer.finding.slices]
    assert np.ptp(np.diff(levels)) <= 1


def test_a_study_without_the_classifiers_sequence_is_not_answered() -> None:
    answer = name_tumour_type(prepared(Role.FLAIR), outline(30), {Role.FLAIR: scanned()}, fixed_classifier())
    assert answer.finding is None
    assert answer.because == "T1C is missing, the only sequence that the classifier reads"


def test_thick_sagittal_slices_are_not_answered_and_thin_ones_are() -> None:
    thick, thin = {Role.T1C: scanned(SAGITTAL, 5.5)}, {Role.T1C: scanned(SAGITTAL, 1.0)}
    refused = name_tumour_type(prepared(Role.T1C), outline(30), thick, fixed_classifier())
    assert refused.finding is None
    assert "sagittal and 5.5 mm apart" in refused.because
    assert name_tumour_type(prepared(Role.T1C), outline(30), thin, fixed_classifier()).finding


def test_without_a_classifier_nothing_is_answered_and_nothing_explained() -> None:
    answer = name_tumour_type(prepared(Role.T1C), outline(30), {Role.T1C: scanned()}, None)
    assert (answer.finding, answer.because) == (None, "")


def test_slices_without_a_head_are_an_answer_of_their_own() -> None:
    study = prepared(Role.T1C)
    empty = Volume(np.zeros(GRID.shape, np.float32), GRID)
    hollow = PreparedStudy({Role.T1C: empty}, study.brain, study.inputs, study.registrations)
    answer = name_tumour_type(hollow, outline(30), {Role.T1C: scanned()}, fixed_classifier())
    assert answer.finding is None
    assert "nothing but background" in answer.because
