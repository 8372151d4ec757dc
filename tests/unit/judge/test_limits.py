"""The table of limits: graver consequences lie farther out, and the document says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from bt_node.judge.limits import LIMITS, Check, Decision, Limit, concern

PAGE = Path(__file__).resolve().parents[3] / "docs" / "judgement.md"


def test_every_check_has_a_limit_and_a_reason() -> None:
    assert set(LIMITS) == set(Check)
    for check, limit in LIMITS.items():
        assert limit.why, check
        assert (limit.caution, limit.hold, limit.reject) != (None, None, None), check


@pytest.mark.parametrize("check", list(Check))
def test_graver_consequences_need_worse_numbers(check: Check) -> None:
    limit = LIMITS[check]
    given = [value for value in (limit.caution, limit.hold, limit.reject) if value is not None]
    assert given == sorted(given, reverse=not limit.too_much)


def test_a_number_at_the_limit_is_still_fit() -> None:
    limit = Limit("mm", too_much=True, why="test", caution=1.0, hold=2.0, reject=3.0)
    told = [limit.decide(value) for value in (1.0, 1.1, 2.1, 3.1)]
    assert told == [Decision.SEND, Decision.CAUTION, Decision.HOLD, Decision.REJECT]
    small = Limit("mm", too_much=False, why="test", hold=2.0)
    assert [small.decide(value) for value in (2.0, 1.9)] == [Decision.SEND, Decision.HOLD]


def test_what_cannot_be_measured_raises_no_concern() -> None:
    assert concern(Check.NOISE, None, "words") == ()
    (found,) = concern(Check.NOISE, 0.2, "words")
    assert (found.check, found.decision, found.sentence) == (Check.NOISE, Decision.CAUTION, "words")


@pytest.mark.parametrize("check", list(Check))
def test_the_document_names_each_check_with_its_limits(check: Check) -> None:
    limit = LIMITS[check]
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{check.value}` |")]
    assert len(rows) == 1, f"docs/judgement.md has {len(rows)} rows for {check.value}"
    cells = [cell.strip() for cell in rows[0].strip("|").split("|")]
    sign = ">" if limit.too_much else "<"
    for place, value in zip((2, 3, 4), (limit.caution, limit.hold, limit.reject), strict=True):
        assert cells[place] == ("" if value is None else f"{sign} {value:g}"), (check, cells)
