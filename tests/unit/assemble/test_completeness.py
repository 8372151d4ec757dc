"""Whether a quiet study goes on: every kind of evidence alone, and together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bt_node.assemble.completeness import Known, Rules, Verdict, decide
from bt_node.domain.completeness import KnownGaps, Shortfall, SourceSeries
from bt_node.domain.role import Role

ALL = tuple(Role)
FULL = Known(images=52, quiet_s=30, arrived={"1": 25, "2": 27}, found=ALL)
ASKED = replace(FULL, source="PACS", at_source=(SourceSeries("1", 8, "MR", 25), SourceSeries("2", 9, "MR", 27)))
SHORT = replace(ASKED, arrived={"1": 25, "2": 25})
UNSENT = replace(ASKED, at_source=(*(ASKED.at_source or ()), SourceSeries("3", 11, "MR", 20)))
NO_FLAIR = replace(FULL, found=ALL[:3], missing=(Role.FLAIR,))
GAP = replace(FULL, slice_gaps=("slices of series 8 (T1): two are 12.0 mm apart where 6.0 mm is expected",))
LATE = 600.0


def of(known: Known, **changes: object) -> Verdict:
    return decide(replace(known, **changes), Rules())


def test_without_a_source_a_study_that_lacks_nothing_goes_on() -> None:
    assert of(FULL) == Verdict(True, "quiet for 30 s with 52 images; T1, T1C, T2, FLAIR found", (), KnownGaps())


def test_what_a_source_has_and_all_arrived_is_said() -> None:
    assert of(ASKED).reason.endswith("all that PACS has in 2 series arrived")


def test_a_series_that_came_in_part_is_waited_for_and_then_told() -> None:
    waiting = of(SHORT)
    assert not waiting.complete
    assert waiting.waits_for == ("PACS to send series 9: 25 of 27 images arrived",)
    over = of(SHORT, quiet_s=LATE)
    assert over.complete
    assert over.reason.endswith("waited in vain for PACS to send series 9: 25 of 27 images arrived")
    assert over.gaps == KnownGaps("PACS", short=(Shortfall("2", 9, 27, 25),))


def test_a_series_that_never_came_is_waited_for_unless_the_source_sends_a_selection() -> None:
    assert of(UNSENT).waits_for == ("PACS to send series 11: 0 of 20 images arrived",)
    selected = decide(UNSENT, Rules(expect_whole_study=False))
    assert selected.complete
    assert selected.reason.endswith("PACS has 1 more series of which nothing arrived")
    assert selected.gaps == KnownGaps("PACS", unsent=(Shortfall("3", 11, 20, 0),), unsent_expected=False)


@pytest.mark.parametrize("modality", ["SR", "SEG", "KO", "PR"])
def test_reports_at_the_source_are_not_waited_for(modality: str) -> None:
    own = SourceSeries("9", 9001, modality, 1)
    assert of(ASKED, at_source=(*(ASKED.at_source or ()), own)).complete


def test_more_than_the_source_has_is_enough() -> None:
    assert of(ASKED, arrived={"1": 30, "2": 27}).complete


def test_a_silent_source_is_asked_again_and_then_blocks_nothing() -> None:
    silent = replace(FULL, source="PACS", silent="connection refused", ask_again=True)
    assert of(silent).waits_for == ("an answer of PACS (connection refused)",)
    given_up = of(silent, ask_again=False)
    assert given_up.complete
    assert "PACS did not tell what it has (connection refused), so quiet time alone decides" in given_up.reason
    assert given_up.gaps.silent == "connection refused"


def test_what_a_source_once_said_holds_when_it_falls_silent() -> None:
    verdict = of(SHORT, silent="connection refused")
    assert verdict.waits_for == ("PACS to send series 9: 25 of 27 images arrived",)
    assert verdict.gaps.silent == ""


@pytest.mark.parametrize("told", [(), (SourceSeries("1", 8, "MR", None), SourceSeries("2", 9, "MR", None))])
def test_a_source_that_knows_no_numbers_leaves_it_to_quiet_time(told: tuple[SourceSeries, ...]) -> None:
    verdict = of(ASKED, at_source=told)
    assert verdict.complete
    assert "PACS told no number of images, so quiet time alone decides" in verdict.reason


def test_a_sequence_that_lacks_is_waited_for_while_others_are_there() -> None:
    assert of(NO_FLAIR).waits_for == ("FLAIR, which no series is",)
    assert of(NO_FLAIR, quiet_s=LATE).complete
    assert of(FULL, found=(), missing=ALL).complete, "a study without any of the four is no brain MR"


def test_slices_that_lack_are_waited_for() -> None:
    assert of(GAP).waits_for == GAP.slice_gaps
    assert of(GAP, quiet_s=LATE).complete


@pytest.mark.parametrize("lacking", [NO_FLAIR, GAP])
def test_nobody_waits_for_what_the_source_does_not_have_either(lacking: Known) -> None:
    assert of(lacking, source="PACS", at_source=ASKED.at_source).complete
    assert not of(lacking, source="PACS", at_source=()).complete
    assert not of(lacking, source="PACS", at_source=(SourceSeries("1", 8, "MR", None),)).complete


def test_what_a_source_kept_back_may_be_the_missing_sequence() -> None:
    known = replace(UNSENT, found=ALL[:3], missing=(Role.FLAIR,))
    assert decide(known, Rules(expect_whole_study=False)).waits_for == ("FLAIR, which no series is",)


def test_a_site_that_waits_for_nothing_waits_for_nothing() -> None:
    assert all(decide(known, Rules(wait_s=0)).complete for known in (SHORT, UNSENT, NO_FLAIR, GAP))


def test_known_gaps_come_back_from_the_job_book_as_they_were() -> None:
    gaps = of(SHORT).gaps
    assert KnownGaps.from_json(gaps.as_json()) == gaps
    assert KnownGaps.from_json({}) == KnownGaps()


def test_a_source_that_names_thousands_of_series_makes_no_endless_sentence() -> None:
    named = tuple(SourceSeries(f"9.{number}", number, "MR", 5) for number in range(2000))
    verdict = of(FULL, source="PACS", at_source=named)
    assert not verdict.complete
    assert len(verdict.waits_for) == 21
    assert verdict.waits_for[-1] == "1980 more series of PACS"
