"""Is the change since the former study believable? Sentences in ASCII without patient data.

Untreated glioblastomas doubled in 21 days in the median (95 patients, Cancer 2016;122:1718) or in 50 days (106
patients, Neuro-Oncology 2015;17:1402). Growth faster than a doubling a week is told; that limit and the others are
rules of thumb, not measured operating points.
"""

from __future__ import annotations

from collections.abc import Iterator

from bt_node.domain.follow_up import Change, FollowUp, Way
from bt_node.domain.tumour import Region, ReleaseIdentity

_DOUBLING_DAYS = 7.0
_LEAST_GROWTH = 2.0
_LEAST_SHARE_LEFT = 0.1
_WORTH_A_WORD_ML = 1.0


def judge_change(
    follow_up: FollowUp,
    *,
    segmenter: ReleaseIdentity,
    former_missing: tuple[str, ...] = (),
    missing: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Cautions about a comparison: what cannot be growth alone, and what makes two studies hard to compare."""
    whole = follow_up.change_of(Region.WT)
    cautions = [] if whole is None else [*_too_fast(whole, follow_up.days), *_nearly_gone(whole, follow_up.days)]
    cautions += _elsewhere(follow_up)
    if follow_up.segmenter != segmenter:
        cautions.append(
            f"The former study was outlined by another model ({follow_up.segmenter.name} "
            f"{follow_up.segmenter.version}); "
            "a part of the change may come from that."
        )
    if set(former_missing) != set(missing):
        cautions.append(
            f"The two studies hold different sequences (missing then: {_listed(former_missing)}; missing now: "
            f"{_listed(missing)}); a part of the change may come from that."
        )
    return tuple(cautions)


def _too_fast(change: Change, days: int) -> Iterator[str]:
    if change.former_ml <= 0 or change.ml < _WORTH_A_WORD_ML:
        return
    factor = change.present_ml / change.former_ml
    if factor > max(_LEAST_GROWTH, 2.0 ** (days / _DOUBLING_DAYS)):
        yield (
            f"The whole tumour is {factor:.1f} times as large as in the former study {_ago(days)} ago, which is "
            "faster than tumours grow; one of the two outlines may be wrong."
        )


def _nearly_gone(change: Change, days: int) -> Iterator[str]:
    if change.former_ml < _WORTH_A_WORD_ML or change.present_ml > _LEAST_SHARE_LEFT * change.former_ml:
        return
    yield (
        f"Of {change.former_ml:.1f} ml whole tumour in the former study {_ago(days)} ago, {change.present_ml:.1f} ml "
        "are outlined now. Without an operation between the two, one of the outlines may be wrong."
    )


def _elsewhere(follow_up: FollowUp) -> Iterator[str]:
    then = any(each.former_ml is not None for each in follow_up.lesions)
    now = any(each.present_ml is not None for each in follow_up.lesions)
    if follow_up.way is Way.REGISTERED and then and now and not follow_up.found_again:
        yield "What is outlined lies elsewhere than what was outlined in the former study: it is not the same lesion."


def _ago(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def _listed(roles: tuple[str, ...]) -> str:
    return ", ".join(roles) or "none"
