"""Images that are no fit input are known by number, and heads are not taken for them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from bt_node.domain.geometry import Grid, Volume
from bt_node.domain.study import Role
from bt_node.judge.input_quality import judge_images, measure_series
from bt_node.judge.limits import Check, Decision
from bt_node.judge.verdict import rejected_because
from bt_node.simulate import misfits
from bt_node.simulate.phantom import brats_like
from bt_node.simulate.wrap import in_thick_slices, wrap_in_head

Heads = Mapping[Role, Volume]


@pytest.fixture(scope="module")
def heads() -> Heads:
    """A drawn brain in a synthetic head, 2 mm pixels, slices of 6 mm."""
    stripped = brats_like(seed=2, shape=(75, 95, 80), spacing_mm=2.0)
    return in_thick_slices(wrap_in_head(stripped.volumes, seed=4, shading=0.1).volumes, 3)


def found(series: Heads) -> set[tuple[Check, Decision]]:
    concerns = judge_images({role: measure_series(volume) for role, volume in series.items()})
    return {(each.check, each.decision) for each in concerns}


def decisions(series: Heads) -> set[Decision]:
    return {decision for _, decision in found(series)}


def only(series: Heads, role: Role = Role.T1C) -> Heads:
    return {role: series[role]}


def test_a_head_raises_no_concern(heads: Heads) -> None:
    assert found(heads) == set()


def test_a_bottle_is_one_substance_and_rejected() -> None:
    assert (Check.SUBSTANCE, Decision.REJECT) in found(misfits.bottle())


def test_one_even_series_among_others_does_not_make_a_bottle(heads: Heads) -> None:
    mixed = {**heads, Role.T1: misfits.bottle()[Role.T1]}
    assert Check.SUBSTANCE not in {check for check, _ in found(mixed)}


def test_noise_alone_is_rejected() -> None:
    assert (Check.NOISE, Decision.REJECT) in found(only(misfits.noise()))


def test_an_image_of_nothing_is_measured_without_an_error() -> None:
    grid = Grid((12, 16, 16), (2.0, 2.0, 5.0), (0.0, 0.0, 0.0))
    quality = measure_series(Volume(np.zeros(grid.shape, np.float32), grid))
    assert (quality.noise, quality.substance, quality.ghosts) == (None, None, None)


@pytest.mark.parametrize(
    ("deviation", "decision"),
    [(0.1, Decision.CAUTION), (0.3, Decision.HOLD), (1.0, Decision.REJECT)],
)
def test_more_noise_has_graver_consequences(heads: Heads, deviation: float, decision: Decision) -> None:
    drowned = {Role.T1C: misfits.drowned(heads[Role.T1C], deviation=deviation)}
    assert (Check.NOISE, decision) in found(drowned)


def test_hounsfield_units_are_rejected(heads: Heads) -> None:
    assert (Check.LOWEST_VALUE, Decision.REJECT) in found(misfits.ct_numbers(only(heads)))


@pytest.mark.parametrize("along_rows", [False, True])
def test_heavy_motion_is_held_whatever_the_phase_direction(heads: Heads, along_rows: bool) -> None:
    moved = misfits.ghosted(heads[Role.T1C], shift_mm=4.0, along_rows=along_rows)
    assert (Check.GHOSTS, Decision.HOLD) in found({Role.T1C: moved})


def test_ghosts_are_worse_the_more_the_patient_moves(heads: Heads) -> None:
    measured = [
        measure_series(misfits.ghosted(heads[Role.T1C], shift_mm=shift)).ghosts for shift in (0.0, 1.0, 2.0, 4.0)
    ]
    assert measured == sorted(measured)
    assert measured[0] < 0.02


def test_slices_that_are_few_far_apart_or_thin_are_told() -> None:
    array = np.random.default_rng(1).normal(100.0, 30.0, (9, 32, 32)).astype(np.float32)
    volume = Volume(array, Grid((9, 32, 32), (5.0, 5.0, 13.0), (0.0, 0.0, 0.0)))
    concerns = judge_images({Role.FLAIR: measure_series(volume, thickness_mm=5.0)})
    told = {each.check: each.decision for each in concerns}
    assert told[Check.SLICES] is Decision.HOLD
    assert told[Check.SLICE_DISTANCE] is Decision.HOLD
    assert told[Check.GAP] is Decision.HOLD
    assert measure_series(volume, thickness_mm=None).gap is None
    assert measure_series(volume, thickness_mm=20.0).gap == 0.0, "slices that overlap leave no gap"


def test_reasons_are_ascii_sentences_and_only_the_gravest_reject() -> None:
    concerns = judge_images({Role.T1C: measure_series(misfits.bottle()[Role.T1C])})
    assert all(each.sentence.isascii() and each.sentence.endswith(".") for each in concerns)
    (why,) = rejected_because(concerns)
    assert "bottle" in why
    assert rejected_because(()) == ()
