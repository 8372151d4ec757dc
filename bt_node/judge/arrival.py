"""Did all of the study arrive? What a source has and never sent is said on the result, or keeps it here.

Sentences are ASCII without patient data: they are written into the report and the job book.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from bt_node.domain.completeness import KnownGaps, Shortfall
from bt_node.domain.errors import SeriesShortError
from bt_node.domain.study import Role, RoleAssignment

_MOST_NAMED = 20  # a source may name thousands of series


def require_whole_series(assignment: RoleAssignment, gaps: KnownGaps) -> None:
    """Let no series with a role be used in part, unless a person wants it so.

    Raises:
        SeriesShortError: the source has more images of such a series than arrived.
    """
    short = [_sentence(gaps.source, each, role) for role, each in _with_role(assignment, gaps)]
    if short and not gaps.accepted_by:
        raise SeriesShortError(short)


def what_did_not_arrive(assignment: RoleAssignment, gaps: KnownGaps, missing: Collection[Role]) -> tuple[str, ...]:
    """Cautions about images that the source has and that did not arrive, or that nobody could be asked for."""
    return tuple(_cautions(assignment, gaps, missing))


def _cautions(assignment: RoleAssignment, gaps: KnownGaps, missing: Collection[Role]) -> Iterator[str]:
    roles = {each.series_instance_uid: role for role, each in _with_role(assignment, gaps)}
    for each in gaps.short:
        yield _sentence(gaps.source, each, roles.get(each.series_instance_uid))
    if roles:
        yield "It was analysed without these images because a person wanted it so."
    if gaps.unsent and (gaps.unsent_expected or missing):
        names = ", ".join(each.name.removeprefix("series ") for each in gaps.unsent[:_MOST_NAMED])
        names += ", and others" if len(gaps.unsent) > _MOST_NAMED else ""
        yield f"{gaps.source} has {len(gaps.unsent)} more MR series of this study that did not arrive: {names}."
    if gaps.silent and missing:
        yield f"{gaps.source} did not tell what it has ({gaps.silent}): what is missing may exist there."


def _with_role(assignment: RoleAssignment, gaps: KnownGaps) -> Iterator[tuple[Role, Shortfall]]:
    for role, choice in assignment.choices.items():
        each = gaps.of(choice.series.series_instance_uid)
        if each is not None:
            yield role, each


def _sentence(source: str, each: Shortfall, role: Role | None) -> str:
    used = f" ({role.value})" if role else ""
    return f"{source} has {each.expected} images of {each.name}{used}, {each.arrived} arrived."
