"""What the contrast elements of a header say, typed: classic and Enhanced (PS3.3 C.7.6.4, C.7.6.4b, C.8.13.5.12).

Only facts are read here. What they prove is decided in `contrast`: consoles copy these elements to series that were
acquired before the injection, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydicom.dataset import Dataset

from bt_node.assemble.values import items, moment, number, text

# Given, but not into a vein: it enhances no brain.
_OTHER_ROUTE = re.compile(r"oral|rect|articul|thecal|enem|bladder|vesic|per ?os", re.IGNORECASE)
_OTHER_INGREDIENT = frozenset({"IODINE", "BARIUM", "CARBON DIOXIDE"})  # not of MR (defined terms of (0018,1048))


def agent_of(ds: Dataset) -> str:
    """ContrastBolusAgent, or what else only a contrast agent in a vein has; empty where there is none.

    Enhanced MR codes the agent; classic MR may name the ingredient or the volume alone.
    """
    coded = items(ds, "ContrastBolusAgentSequence")
    routes = [text(item, "CodeMeaning") for agent in coded for item in items(agent, _ROUTES)]
    if _OTHER_ROUTE.search(" ".join([text(ds, "ContrastBolusRoute"), *routes])):
        return ""
    ingredient = text(ds, "ContrastBolusIngredient").upper()
    named = text(ds, "ContrastBolusAgent") or " ".join(filter(None, map(_coded_name, coded)))
    if named or ingredient in _OTHER_INGREDIENT:
        return named
    volume = number(ds, "ContrastBolusVolume")
    return ingredient or ("volume" if volume and volume > 0 else "")


_ROUTES = "ContrastBolusAdministrationRouteSequence"


def _coded_name(agent: Dataset) -> str:
    ingredients = items(agent, "ContrastBolusIngredientCodeSequence")
    return text(agent, "CodeMeaning") or " ".join(text(item, "CodeMeaning") for item in ingredients) or "coded"


def started_at_s(ds: Dataset) -> float | None:
    """ContrastBolusStartTime in seconds since 1970, on the clock of acquisition times; None where it is not said."""
    profiles = [
        profile
        for agent in items(ds, "ContrastBolusAgentSequence")
        for profile in items(agent, "ContrastAdministrationProfileSequence")
    ]
    day = text(ds, "AcquisitionDate") or text(ds, "AcquisitionDateTime")[:8] or text(ds, "SeriesDate")
    times = (text(holder, "ContrastBolusStartTime") for holder in (ds, *profiles))
    return next((found for time in times if (found := moment(day or text(ds, "StudyDate"), time)) is not None), None)


def administered(usages: Iterable[Dataset]) -> bool | None:
    """Whether the agent was in the patient when one frame was acquired, from its Contrast/Bolus Usage items."""
    said = {text(usage, "ContrastBolusAgentAdministered").upper() for usage in usages}
    return True if "YES" in said else False if "NO" in said else None


def administered_in_all(frames: Iterable[bool | None]) -> bool | None:
    """The same for a volume: None where frames are silent or contradict one another."""
    said = set(frames)
    return said.pop() if len(said) == 1 else None
