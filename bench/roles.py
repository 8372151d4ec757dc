"""How well the four roles are recognised, over generated protocols with the truth known: `python -m bench.roles`."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from bench.role_cases import cases, wordings
from bench.role_protocols import Protocol, protocols
from bt_node.assemble.roles import choose_roles
from bt_node.domain.study import Certainty, Role, RoleAssignment


class Answer(StrEnum):
    """What became of one role of one protocol."""

    RIGHT_SURE = "right, sure"
    RIGHT_LIKELY = "right, likely"
    ASKED = "asked (HOLD)"
    OVERLOOKED = "overlooked"
    WRONG_LIKELY = "wrong, likely"
    WRONG_SURE = "wrong, sure"


@dataclass(frozen=True)
class Judged:
    """One protocol with an answer for each role."""

    protocol: Protocol
    answers: dict[Role, Answer]


def judge(protocol: Protocol) -> Judged:
    """Choose the roles of one protocol and compare with the truth."""
    assignment = choose_roles(protocol.study)
    return Judged(protocol, {role: _answer(assignment, role, protocol.truth[role]) for role in Role})


def _answer(assignment: RoleAssignment, role: Role, truth: frozenset[str]) -> Answer:
    certainty = assignment.certainty(role)
    if certainty is Certainty.AMBIGUOUS:
        return Answer.ASKED
    if certainty is Certainty.MISSING:
        return Answer.OVERLOOKED if truth else Answer.RIGHT_SURE
    right = assignment.choices[role].series.series_instance_uid in truth
    if certainty is Certainty.SURE:
        return Answer.RIGHT_SURE if right else Answer.WRONG_SURE
    return Answer.RIGHT_LIKELY if right else Answer.WRONG_LIKELY


def table(judged: Iterable[Judged]) -> str:
    """A Markdown table: one row for each kind of protocol, counts of roles, and the share of studies held."""
    rows: dict[str, list[Judged]] = defaultdict(list)
    for each in judged:
        rows[each.protocol.kind].append(each)
    everything = [each for row in rows.values() for each in row]
    lines = ["| contrast told by | studies | " + " | ".join(Answer) + " | held |", "|---" * (len(Answer) + 3) + "|"]
    return "\n".join(lines + [_line(kind, row) for kind, row in (*rows.items(), ("**all**", everything))])


def _line(kind: str, row: list[Judged]) -> str:
    counted = Counter(answer for each in row for answer in each.answers.values())
    held = sum(Answer.ASKED in each.answers.values() for each in row)
    return f"| {kind} | {len(row)} | " + " | ".join(str(counted[answer]) for answer in Answer) + f" | {held} |"


def main() -> None:
    for title, made in (
        ("Generated", list(protocols())),
        ("Written out, may be tuned on", [*cases("tuned"), *wordings("tuned")]),
        ("Held out, never tuned on", [*cases("held_out"), *wordings("held_out")]),
    ):
        judged = [judge(protocol) for protocol in made]
        print(f"\n## {title}\n\n{table(judged)}\n\n{summary(judged)}")
        if "--list" in sys.argv and not title.startswith("Held"):
            print("\n".join(_not_right(judged)))


def summary(judged: Sequence[Judged]) -> str:
    """The figures of a table in one sentence."""
    roles = [answer for each in judged for answer in each.answers.values()]
    right = sum(answer in (Answer.RIGHT_SURE, Answer.RIGHT_LIKELY) for answer in roles)
    held = sum(Answer.ASKED in each.answers.values() for each in judged)
    return (
        f"{len(judged)} studies, {len(roles)} roles: {right / len(roles):.1%} right, "
        f"{held / len(judged):.1%} of the studies held, {roles.count(Answer.WRONG_SURE)} wrong and sure."
    )


def _not_right(judged: Sequence[Judged]) -> Iterator[str]:
    for each in judged:
        bad = {role.value: answer.value for role, answer in each.answers.items() if not answer.startswith("right")}
        if bad:
            yield f"{each.protocol.name} {bad}"


if __name__ == "__main__":
    main()
