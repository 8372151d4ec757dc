"""What a missing sequence means for a result: which regions nothing can be said about, and what is less sure.

Sentences are ASCII without patient data: they are written into the report and the job book.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from bt_node.domain.study import Role
from bt_node.domain.tumour import Region

# Enhancement is the difference that contrast makes: without T1c nothing shows it, and core, necrosis and oedema are
# told apart by it. A network still draws them, by what is usual for such a lesion; that is a guess, no finding.
_HIDDEN_WITHOUT: Mapping[Role, frozenset[Region]] = {
    Role.T1C: frozenset({Region.NCR, Region.ED, Region.ET, Region.TC}),
}
_MEANING: Mapping[Role, str] = {
    Role.T1: "what is bright without contrast (blood, fat) may have been outlined as enhancing tumour.",
    Role.T1C: "enhancing tumour, necrotic core, tumour core and oedema were not assessed; only the whole tumour was.",
    Role.T2: "oedema and necrotic core are outlined on less evidence.",
    Role.FLAIR: "the extent of oedema, and with it of the whole tumour, is uncertain.",
}


def assessable(missing: Collection[Role]) -> tuple[Region, ...]:
    """Regions that can be assessed although `missing` sequences are not there; the whole tumour always can."""
    hidden = frozenset().union(*(_HIDDEN_WITHOUT.get(role, frozenset()) for role in missing))
    return tuple(region for region in Region if region not in hidden)


def what_it_means(missing: Collection[Role]) -> Iterator[str]:
    """One sentence for each missing sequence, in the order T1, T1C, T2, FLAIR."""
    shown = assessable(missing)
    for role in (role for role in Role if role in missing):
        moot = role is Role.T1 and Region.ET not in shown
        yield f"{role.value} was missing{'.' if moot else ': ' + _MEANING[role]}"
