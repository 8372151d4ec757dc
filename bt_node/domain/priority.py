"""How urgent a study is: what is analysed and sent first."""

from __future__ import annotations

from enum import StrEnum


class Priority(StrEnum):
    """The words of the command line. Equally urgent studies go in the order in which they became ready."""

    ROUTINE = "routine"
    HIGH = "high"
    STAT = "stat"

    @property
    def rank(self) -> int:
        """The number in the job book; a higher one goes first."""
        return list(Priority).index(self)

    @classmethod
    def of_header(cls, value: str) -> Priority:
        """What Requested Procedure Priority (0040,1003) says: STAT and HIGH count, MEDIUM, LOW, ROUTINE do not."""
        return {"STAT": cls.STAT, "HIGH": cls.HIGH}.get(value.strip().upper(), cls.ROUTINE)
