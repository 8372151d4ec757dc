"""Studies and words written out by hand, with the truth known; half of them were never tuned on."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.role_cases import cases, wordings
from bench.roles import Answer, Judged, judge

RIGHT = {Answer.RIGHT_SURE, Answer.RIGHT_LIKELY}


def answers(judged: list[Judged]) -> Counter[Answer]:
    return Counter(answer for each in judged for answer in each.answers.values())


@pytest.fixture(scope="module", params=["tuned", "held_out"])
def judged(request: pytest.FixtureRequest) -> tuple[str, list[Judged]]:
    return request.param, [judge(protocol) for protocol in (*cases(request.param), *wordings(request.param))]


def test_nothing_wrong_is_called_sure(judged: tuple[str, list[Judged]]) -> None:
    assert [each.protocol.name for each in judged[1] if Answer.WRONG_SURE in each.answers.values()] == []


def test_nearly_all_are_right_and_few_are_held(judged: tuple[str, list[Judged]]) -> None:
    name, everything = judged
    found = answers(everything)
    held = sum(Answer.ASKED in each.answers.values() for each in everything) / len(everything)
    least, most = {"tuned": (0.99, 0.01), "held_out": (0.96, 0.06)}[name]
    assert sum(found[answer] for answer in RIGHT) / found.total() >= least
    assert held <= most


def test_there_are_many_and_their_names_differ(judged: tuple[str, list[Judged]]) -> None:
    names = [each.protocol.name for each in judged[1]]
    assert len(set(names)) == len(names) >= 250
    assert max(len(each.protocol.study.series) for each in judged[1]) >= 10
