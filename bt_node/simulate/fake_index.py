"""What the fake PACS answers to C-FIND: the study root model at SERIES and IMAGE level."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pydicom import Dataset

_OF_LEVEL = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
_UNIQUE_KEYS = tuple(_OF_LEVEL.values())


def matches(
    wanted: Dataset, kept: Iterable[Dataset], *, counts: Mapping[str, int], no_counts: bool
) -> Iterator[Dataset]:
    """One data set for each match, holding the keys that were asked for (PS3.4 C.2.2).

    Args:
        wanted: the identifier of the request: QueryRetrieveLevel, unique keys, keys to return.
        kept: everything in the archive.
        counts: SeriesInstanceUID -> number to tell instead of the true one.
        no_counts: tell no number at all.
    """
    own = _OF_LEVEL.get(str(wanted.get("QueryRetrieveLevel")), "")
    fitting = [item for item in kept if all(_fits(wanted, item, key) for key in _UNIQUE_KEYS)]
    entities = {str(item.get(own)): item for item in fitting}
    for uid, item in entities.items():
        match = Dataset()
        for element in wanted:
            setattr(match, element.keyword, item.get(element.keyword, ""))
        match.QueryRetrieveLevel = wanted.QueryRetrieveLevel
        if "NumberOfSeriesRelatedInstances" in wanted:
            number = counts.get(uid, sum(str(other.get(own)) == uid for other in fitting))
            match.NumberOfSeriesRelatedInstances = None if no_counts else number
        yield match


def _fits(wanted: Dataset, item: Dataset, key: str) -> bool:
    asked = str(wanted.get(key) or "")
    return not asked or str(item.get(key)) == asked
