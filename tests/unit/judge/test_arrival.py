"""What a source has and never sent: said on the result, or a reason to hold it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bt_node.domain.completeness import KnownGaps, Shortfall
from bt_node.domain.errors import Hold, SeriesShortError
from bt_node.domain.study import Role
from bt_node.judge.arrival import require_whole_series, what_did_not_arrive

FLAIR_9 = SimpleNamespace(choices={Role.FLAIR: SimpleNamespace(series=SimpleNamespace(series_instance_uid="2"))})
SHORT = Shortfall("2", 9, 27, 25)
OTHER = Shortfall("5", 4, 60, 59)
NEVER = (Shortfall("6", 11, 20, 0), Shortfall("1.2.7", None, 20, 0))


def said(gaps: KnownGaps, *missing: Role) -> tuple[str, ...]:
    return what_did_not_arrive(FLAIR_9, gaps, missing)


def test_a_series_with_a_role_that_came_in_part_is_held() -> None:
    with pytest.raises(
        SeriesShortError, match=r"PACS has 27 images of series 9 \(FLAIR\), 25 arrived.*jobs retry"
    ) as held:
        require_whole_series(FLAIR_9, KnownGaps("PACS", short=(SHORT,)))
    assert isinstance(held.value, Hold)


def test_a_person_may_want_it_so_and_the_result_says_it() -> None:
    accepted = KnownGaps("PACS", short=(SHORT,), accepted_by="cli:ann")
    require_whole_series(FLAIR_9, accepted)
    assert said(accepted) == (
        "PACS has 27 images of series 9 (FLAIR), 25 arrived.",
        "It was analysed without these images because a person wanted it so.",
    )


def test_a_series_without_a_role_that_came_in_part_is_a_caution() -> None:
    gaps = KnownGaps("PACS", short=(OTHER,))
    require_whole_series(FLAIR_9, gaps)
    assert said(gaps) == ("PACS has 60 images of series 4, 59 arrived.",)


def test_series_that_never_came_are_told_by_number_or_uid() -> None:
    words = "PACS has 2 more MR series of this study that did not arrive: 11, 1.2.7."
    assert said(KnownGaps("PACS", unsent=NEVER)) == (words,)
    assert said(KnownGaps("PACS", unsent=NEVER, unsent_expected=False)) == ()
    assert said(KnownGaps("PACS", unsent=NEVER, unsent_expected=False), Role.T2) == (words,)


def test_a_silent_source_is_told_where_a_sequence_is_missing() -> None:
    silent = KnownGaps("PACS", silent="connection refused")
    assert said(silent) == ()
    assert said(silent, Role.T2) == (
        "PACS did not tell what it has (connection refused): what is missing may exist there.",
    )


def test_nothing_is_said_where_nothing_lacks() -> None:
    assert said(KnownGaps("PACS"), Role.T2) == ()


def test_of_thousands_of_series_the_first_are_named() -> None:
    unsent = tuple(Shortfall(f"9.{number}", number, 5, 0) for number in range(2000))
    (caution,) = said(KnownGaps("PACS", unsent=unsent))
    assert "2000 more MR series" in caution
    assert caution.isascii()
    assert len(caution) < 300
