"""What images say about the four roles: heads by formula whose truth is known, and noise that says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, permutations

import numpy as np
import pytest

from bt_node.domain.geometry import BoolArray, ImageArray
from bt_node.domain.study import Role
from bt_node.judge.witness import NO_CONTRAST, Opinion, Statement, look_at
from bt_node.simulate.phantom import brats_like
from bt_node.simulate.tumour import TumourShape

Images = dict[Role, ImageArray]
_SPACING_MM = 2.0


def head(seed: int, *, tumour: bool = True) -> tuple[Images, BoolArray]:
    """A head of 2 mm, its voxels doubled to the witness's 1 mm."""
    shape = TumourShape() if tumour else None
    case = brats_like(seed=seed, tumour=shape, shape=(78, 96, 78), spacing_mm=_SPACING_MM)
    images = {role: np.kron(volume.array, np.ones((2, 2, 2), np.float32)) for role, volume in case.volumes.items()}
    return images, np.any([image > 0 for image in images.values()], axis=0)


@pytest.fixture(scope="module")
def seen() -> tuple[Images, BoolArray]:
    return head(1)


def exchanged(images: Images, one: Role, other: Role) -> Images:
    return images | {one: images[other], other: images[one]}


def opinions(statements: Mapping[Role, Statement]) -> dict[Role, Opinion]:
    return {role: said.opinion for role, said in statements.items()}


def test_right_roles_agree(seen: tuple[Images, BoolArray]) -> None:
    statements = look_at(*seen)
    assert opinions(statements) == dict.fromkeys(Role, Opinion.AGREES)
    assert all(said.why.isascii() for said in statements.values())
    assert statements[Role.T2].numbers["fluid_ml"] > 50


def test_a_head_without_a_tumour_has_vessels_enough() -> None:
    images, brain = head(2, tumour=False)
    assert opinions(look_at(images, brain)) == dict.fromkeys(Role, Opinion.AGREES)
    statements = look_at(exchanged(images, Role.T1, Role.T1C), brain)
    assert [statements[role].looks_like for role in (Role.T1, Role.T1C)] == [{Role.T1C}, {Role.T1}]


@pytest.mark.parametrize("pair", list(combinations(Role, 2)), ids="-".join)
def test_two_exchanged_roles_are_seen_and_the_others_agree(
    seen: tuple[Images, BoolArray], pair: tuple[Role, Role]
) -> None:
    images, brain = seen
    one, other = pair
    statements = look_at(exchanged(images, one, other), brain)
    against = {role for role, opinion in opinions(statements).items() if opinion is Opinion.CONTRADICTS}
    assert against == {one, other}
    assert statements[one].looks_like == {other}
    assert statements[other].looks_like == {one}


def test_no_order_of_the_four_deceives_it(seen: tuple[Images, BoolArray]) -> None:
    images, brain = seen
    for order in list(permutations(Role))[9::7]:
        statements = look_at({role: images[true] for role, true in zip(Role, order, strict=True)}, brain)
        assert {role: said.looks_like for role, said in statements.items()} == {
            role: {true} for role, true in zip(Role, order, strict=True)
        }


def test_scale_offset_and_order_of_intensities_do_not_matter(seen: tuple[Images, BoolArray]) -> None:
    images, brain = seen
    other = {role: np.float32(7) * images[role] - np.float32(300) for role in reversed(Role)}
    assert opinions(look_at(other, brain)) == dict.fromkeys(reversed(Role), Opinion.AGREES)


def test_noise_says_nothing(seen: tuple[Images, BoolArray]) -> None:
    images, brain = seen
    random = np.random.default_rng(3)
    noise = {role: random.standard_normal(image.shape, dtype=np.float32) for role, image in images.items()}
    assert opinions(look_at(noise, brain)) == dict.fromkeys(Role, Opinion.CANNOT_TELL)


def test_flat_images_and_a_speck_of_brain_say_nothing(seen: tuple[Images, BoolArray]) -> None:
    images, brain = seen
    flat = {role: np.ones_like(image) for role, image in images.items()}
    assert opinions(look_at(flat, brain)) == dict.fromkeys(Role, Opinion.CANNOT_TELL)
    speck = np.zeros_like(brain)
    speck[70:80, 90:100, 70:80] = True
    for mask in (speck, np.zeros_like(brain)):
        assert opinions(look_at(images, mask)) == dict.fromkeys(Role, Opinion.CANNOT_TELL)


def test_a_t1_taken_twice_without_contrast_is_told(seen: tuple[Images, BoolArray]) -> None:
    images, brain = seen
    noise = np.random.default_rng(4).normal(0, 30, images[Role.T1].shape).astype(np.float32)
    statements = look_at(images | {Role.T1C: images[Role.T1] + noise}, brain)
    assert statements[Role.T1C].opinion is Opinion.CANNOT_TELL
    assert statements[Role.T1C].why.endswith(NO_CONTRAST)
    assert statements[Role.T2].opinion is Opinion.AGREES


def test_a_flair_in_the_place_of_the_t2_is_seen(seen: tuple[Images, BoolArray]) -> None:
    images, brain = seen
    statements = look_at(images | {Role.T2: images[Role.FLAIR]}, brain)
    assert statements[Role.T2].opinion is Opinion.CONTRADICTS
    assert statements[Role.FLAIR].opinion is not Opinion.CONTRADICTS


@pytest.mark.parametrize("missing", list(Role))
def test_with_three_sequences_right_ones_are_never_contradicted(
    seen: tuple[Images, BoolArray], missing: Role
) -> None:
    images, brain = seen
    three = {role: image for role, image in images.items() if role is not missing}
    assert Opinion.CONTRADICTS not in opinions(look_at(three, brain)).values()
    if missing is not Role.FLAIR and missing is not Role.T2:
        wrong = exchanged(three, Role.T2, Role.FLAIR)
        assert opinions(look_at(wrong, brain))[Role.T2] is Opinion.CONTRADICTS


def test_of_two_sequences_only_contrast_is_told(seen: tuple[Images, BoolArray]) -> None:
    images, brain = seen
    pair = {role: images[role] for role in (Role.T1, Role.T1C)}
    assert opinions(look_at(exchanged(pair, *pair), brain)) == dict.fromkeys(pair, Opinion.CONTRADICTS)
    other = {role: images[role] for role in (Role.T2, Role.FLAIR)}
    assert opinions(look_at(other, brain)) == dict.fromkeys(other, Opinion.CANNOT_TELL)
