"""Whether the contrast elements of a header name an agent that enhances: people write "none" there, too."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bt_node.assemble.candidate import Candidate
from bt_node.assemble.words import contrast_word, normalise

_NO_AGENT = frozenset(
    {"", "NO", "NONE", "N", "NIL", "0", "-", "--", ".", "OHNE", "SANS", "NEIN", "NON", "NO CONTRAST", "N/A", "NA"}
    | {"KEIN", "KEINE", "KEINES", "SIN", "NINGUNO", "NESSUNO", "SENZA", "NENHUM", "SEM", "GEEN", "BRAK", "YOK", "НЕТ"}
    | {"无", "なし", "없음", "NOT GIVEN", "NONE GIVEN", "UNKNOWN", "FALSE", "?"}
    | {"AUCUN", "AUCUNE", "INGEN", "EI", "ŽÁDNÝ", "ŽÁDNÁ", "無"}
)
# "kein KM", "no agent", "sans produit", "0 ml": what follows the denial need not be known.
_DENIAL = re.compile(
    r"(?:no|none|kein(?:e[snr]?)?|ohne|sans|aucune?|sin|senza|nessuno?|sem|geen|bez|ingen|without)\b(?!-)"
    r"|0+(?:[.,]0+)? ?(?:ml|cc)?$",
    re.IGNORECASE,
)
# Given at an examination, and none that enhances a tumour.
_OTHER_DRUGS = re.compile(
    r"buscopan|butylscop|glucagon|saline|na ?cl|mannit|furosemid|lasix|water|secretin", re.IGNORECASE
)


def has_agent(candidate: Candidate) -> bool:
    """Whether the contrast elements name an agent, rather than saying in some language that there was none."""
    series = candidate.series
    if series.contrast_given is not None:
        return series.contrast_given
    named = series.contrast_agent.strip(" .").upper()
    denied = contrast_word(normalise(named))[0] is False
    denied = denied or _DENIAL.match(named) is not None
    return named not in _NO_AGENT and not denied and not _OTHER_DRUGS.search(named)


def examined_without(everything: Sequence[Candidate]) -> bool:
    """Whether the examination as a whole is called one without contrast: by StudyDescription or the request."""
    said = {contrast_word(normalise(candidate.series.study_description))[0] for candidate in everything}
    return False in said and True not in said
