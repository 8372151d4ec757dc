"""Hundreds of generated protocols with the truth known: words, vendors, physics, evidence. Nothing wrong is sure."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import pytest

from bench.role_protocols import CONTRAST_WORDS, HABITS, Protocol, protocols
from bench.roles import Answer, Judged, judge, table
from bt_node.domain.study import Role

RIGHT = {Answer.RIGHT_SURE, Answer.RIGHT_LIKELY}


def _some() -> list[Protocol]:
    """Every trap, and of the named ones every third: each language and each product several times."""
    made = list(protocols())
    named = [protocol for protocol in made if protocol.kind == "words"]
    return [*named[::3], *(protocol for protocol in made if protocol.kind != "words")]


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    return [judge(protocol) for protocol in _some()]


def of_kind(judged: list[Judged], *kinds: str) -> list[Judged]:
    found = [each for each in judged if each.protocol.kind in kinds]
    assert found
    return found


def test_there_are_at_least_two_hundred_and_every_word_and_product_is_tried() -> None:
    chosen = _some()
    assert len(chosen) >= 200
    assert len({protocol.name for protocol in chosen}) == len(chosen)
    for language, _, _ in CONTRAST_WORDS:
        assert any(f" {language}, " in protocol.name for protocol in chosen), language
    for habit in HABITS:
        assert any(habit.t1 in protocol.name for protocol in chosen), habit.t1


def test_nothing_wrong_is_called_sure(judged: list[Judged]) -> None:
    wrong = [each.protocol.name for each in judged if Answer.WRONG_SURE in each.answers.values()]
    assert wrong == []


def test_what_headers_tell_is_understood_in_every_spelling(judged: list[Judged]) -> None:
    for each in of_kind(judged, "words", "agent", "agent copied", "time order", "number order", "no words"):
        wrong = {role.value: answer.value for role, answer in each.answers.items() if answer not in RIGHT}
        assert not wrong, each.protocol.name


@pytest.mark.parametrize("kind", ["time order", "number order"])
def test_what_order_alone_tells_is_never_more_than_likely(judged: list[Judged], kind: str) -> None:
    for each in of_kind(judged, kind):
        assert each.answers[Role.T1C] is Answer.RIGHT_LIKELY, each.protocol.name


def test_what_words_and_tags_tell_is_mostly_sure(judged: list[Judged]) -> None:
    answers = Counter(
        answer for each in of_kind(judged, "words", "agent", "agent copied") for answer in each.answers.values()
    )
    assert answers[Answer.RIGHT_SURE] > 0.95 * answers.total()


def test_exchanged_names_go_to_a_person_and_of_repeated_series_one_is_likely(judged: list[Judged]) -> None:
    for each in of_kind(judged, "repeated FLAIR"):
        assert each.answers[Role.FLAIR] is Answer.RIGHT_LIKELY, each.protocol.name
    for each in of_kind(judged, "wrong words"):
        if "before and after" in each.protocol.name:
            assert {each.answers[Role.T1], each.answers[Role.T1C]} == {Answer.ASKED}, each.protocol.name


def test_the_table_counts_every_role_once(judged: list[Judged]) -> None:
    last = table(judged).splitlines()[-1]
    numbers = [int(cell) for cell in last.split("|")[2:-1]]
    assert numbers[0] == len(judged)
    assert sum(numbers[1:-1]) == 4 * len(judged)
    assert len(table(judged).splitlines()) == 3 + len(list(groupby(sorted(each.protocol.kind for each in judged))))
