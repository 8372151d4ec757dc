"""What keeps a choice from being sure, as data: the result then goes on marked as likely, with these words.

Doubts about contrast stand beside the evidence they belong to (`contrast.Basis`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bt_node.assemble.anatomy import asked_for_another_part
from bt_node.assemble.ranking import Fit, repeats
from bt_node.assemble.vocabulary import LOCAL_WORDS
from bt_node.assemble.weighting import Basis
from bt_node.assemble.words import first_key

WHOLE_HEAD_MM = 100.0


@dataclass(frozen=True)
class Doubt:
    """One reason not to be sure; `sentence` ends "T1C is likely, not sure: …"."""

    applies: Callable[[Fit], bool]
    sentence: str


def _names_a_part(fit: Fit) -> bool:
    return any(first_key(LOCAL_WORDS, text) for text in fit.candidate.texts)


def _asked_for_another(fit: Fit) -> bool:
    return not fit.other_part and asked_for_another_part(fit.candidate)


TIE = Doubt(lambda fit: fit.tie, "another series serves equally, and a rule chose between them")
DOUBTS: tuple[Doubt, ...] = (
    TIE,
    Doubt(lambda fit: fit.weighting is Basis.WORDS, "only words name its weighting, timing does not confirm them"),
    Doubt(lambda fit: fit.weighting is Basis.TIMING, "only timing tells its weighting, no word names it"),
    Doubt(lambda fit: fit.candidate.shape.coverage_mm < WHOLE_HEAD_MM, "it covers a part of the head only"),
    Doubt(_names_a_part, "its description names a part of the head"),
    Doubt(repeats, "its description says that it repeats another acquisition"),
    Doubt(lambda fit: "SECONDARY" in fit.candidate.series.image_type, "it was made from another series"),
    Doubt(lambda fit: bool(fit.other_part), "the study names another part of the body, and nowhere the head"),
    Doubt(_asked_for_another, "what was asked for names another part of the body"),
)


def doubts_about(fit: Fit) -> tuple[str, ...]:
    """All that keeps this fit from being sure; only a tie does where a rule of the site named it."""
    if fit.by_rule:
        return (TIE.sentence,) if fit.tie else ()
    contrast = (fit.contrast.doubt,) if fit.contrast and fit.contrast.doubt else ()
    return (*contrast, *(doubt.sentence for doubt in DOUBTS if doubt.applies(fit)))
