"""What the images say about the four roles, whatever the headers say: a second witness, by the physics of intensity.

Three facts are looked for, and none of them trusts the roles:

- Fluid (ventricles, cisterns, sulci) is bright in one sequence alone, the T2, and dark in all others. Bone and air
  are dark in all, oedema is bright in two, vessels after contrast are few: the sequence that alone is bright over by
  far the largest volume is the T2.
- Grey matter is brighter than white in T2 and in FLAIR, and darker in T1. Away from fluid, FLAIR therefore goes with
  the T2 and T1 goes against it: a correlation tells, and nobody has to know which voxel is grey.
- Contrast makes a few voxels much brighter (vessels, choroid plexus, enhancing tumour) and none much darker. Of two
  T1 brought to one scale, the difference has its long tail on the side of the one after contrast.

Networks that name sequences exist (HD-SEQ-ID, doi:10.1148/ryai.230095; MR-Class). Three numbers that a person can
check need neither weights nor training data. What the limits were set on, and how often they are right there, stands
in docs/series-selection.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bt_node.domain.geometry import BoolArray, ImageArray
from bt_node.domain.study import Role
from bt_node.judge.scene import ALL_FOUR, Scene

_T1S = frozenset({Role.T1, Role.T1C})
_DARK_FLUID = _T1S | {Role.FLAIR}
_FLAIR_OR_T2 = frozenset({Role.FLAIR, Role.T2})
_PAIR = 2
_LEAST_ML = 0.01
NO_CONTRAST = "contrast shows in neither of the two T1"


class Opinion(StrEnum):
    """What the image says about a role: the words in job book, CLI and documents."""

    AGREES = "agrees"
    CANNOT_TELL = "cannot tell"
    CONTRADICTS = "contradicts"


@dataclass(frozen=True)
class Limits:
    """Where telling ends. Set on the cases of docs/series-selection.md, so no promise for others.

    Attributes:
        fluid_ml: the least volume that counts as fluid.
        fluid_ratio: of that volume over what any other reading of the sequences would call fluid.
        tissue: correlation with the T2 away from fluid: a FLAIR lies above it, a T1 below its negative.
        tail: longer over shorter tail of the difference of two T1; above it one of them is after contrast.
    """

    fluid_ml: float = 8.0
    fluid_ratio: float = 2.0
    tissue: float = 0.1
    tail: float = 1.5


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Statement:
    """What the image of one series says about the role that it was given.

    Attributes:
        role: the role that headers, a rule or a person gave it.
        looks_like: the roles that its image leaves; empty where nothing can be told.
        why: what was seen, in ASCII, without numbers: numbers in words that decide UIDs must not waver.
        numbers: what was measured, by name.
    """

    role: Role
    looks_like: frozenset[Role] = frozenset()
    why: str = "too little brain to compare"
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def opinion(self) -> Opinion:
        """Contradicts, where the image leaves other roles only; agrees, where it leaves no other."""
        if self.looks_like and self.role not in self.looks_like:
            return Opinion.CONTRADICTS
        return Opinion.AGREES if self.looks_like == {self.role} else Opinion.CANNOT_TELL


def look_at(
    inputs: Mapping[Role, ImageArray], brain: BoolArray, limits: Limits = DEFAULT_LIMITS
) -> Mapping[Role, Statement]:
    """Ask the images of one study what they are.

    Args:
        inputs: one to four registered sequences without shading, any unit, (Z, Y, X) on a 1 mm grid.
        brain: the brain on that grid.
        limits: where telling ends.

    Returns:
        One statement for each sequence. Fluid needs three sequences, contrast two T1; less says nothing.
    """
    scene = Scene.of(inputs, brain)
    if scene is None:
        return {role: Statement(role) for role in inputs}
    seen = _Seen.in_scene(scene, limits)
    looks = {role: seen.weighting(role) for role in inputs}
    pair = _t1_pair(looks)
    tail = scene.tail(*pair) if pair else 1.0
    return {role: seen.statement(role, looks[role], pair or (), tail) for role in inputs}


def _t1_pair(looks: Mapping[Role, frozenset[Role]]) -> tuple[Role, Role] | None:
    """The two T1 whose contrast can be compared: what looks like them, else what is called so and may be."""
    alike = [role for role in looks if looks[role] == _T1S]
    if len(alike) == _PAIR:
        return alike[0], alike[1]
    if all(role in looks and (not looks[role] or looks[role] >= _T1S) for role in _T1S):
        return Role.T1, Role.T1C
    return None


@dataclass(frozen=True)
class _Seen:
    """The numbers of one study, and what they leave of each role.

    Attributes:
        fluid_ml: what each sequence alone is bright in; None stands for dark in all.
        fluid: whether one of these holds so much more than the others that it is fluid.
        bright: the sequence in which that is bright; None where it is dark in all, or was not found.
        likeness: of the other sequences with that one, in solid tissue.
        limits: where telling ends.
    """

    fluid_ml: Mapping[Role | None, float]
    fluid: bool
    bright: Role | None
    likeness: Mapping[Role, float]
    limits: Limits

    @classmethod
    def in_scene(cls, scene: Scene, limits: Limits) -> _Seen:
        """With two sequences oedema and white matter would be taken for fluid: it is looked for in three or four."""
        ml = scene.fluid_ml()
        best, second = sorted(ml, key=lambda reading: ml[reading], reverse=True)[:2]
        enough = ml[best] >= max(limits.fluid_ml, limits.fluid_ratio * ml[second])
        found = enough and len(scene.fields) > _PAIR
        bright = best if found else None
        return cls(ml, found, bright, scene.likeness(bright) if bright else {}, limits)

    @property
    def fluid_ratio(self) -> float:
        """Of the largest volume over the next, at most 99."""
        largest, second = sorted(self.fluid_ml.values(), reverse=True)[:2]
        return min(99.0, largest / max(second, _LEAST_ML))

    def weighting(self, role: Role) -> frozenset[Role]:
        """The roles that fluid and tissue leave to a sequence; empty where no fluid was found."""
        if not self.fluid:
            return frozenset()
        if self.bright is None:
            return _DARK_FLUID
        if role is self.bright:
            # Beside two T1 alone, oedema on a FLAIR looks like fluid on a T2: only a FLAIR beside it settles that.
            settled = len(self.likeness) == ALL_FOUR - 1 or max(self.likeness.values()) > self.limits.tissue
            return frozenset({Role.T2}) if settled else _FLAIR_OR_T2
        if self.likeness[role] > self.limits.tissue:
            return frozenset({Role.FLAIR})
        return _T1S if self.likeness[role] < -self.limits.tissue else _DARK_FLUID

    def statement(self, role: Role, looks: frozenset[Role], pair: tuple[Role, ...], tail: float) -> Statement:
        """Weighting and contrast of one sequence together."""
        numbers = {"fluid_ml": self.fluid_ml[role], "fluid_ratio": self.fluid_ratio}
        why = self._of_weighting(role)
        if role in self.likeness:
            numbers["like_t2"] = self.likeness[role]
        if role in pair:
            beside = pair[0] if role is pair[1] else pair[1]
            numbers["tail"] = tail if role is pair[1] else 1 / tail
            looks, contrast = self._contrast(looks, numbers["tail"], beside)
            why = f"{why}; {contrast}"
        return Statement(role, looks, why, {name: round(value, 2) for name, value in numbers.items()})

    def _of_weighting(self, role: Role) -> str:
        if not self.fluid:
            return "no fluid stands out"
        if self.bright is None:
            return "fluid is dark in all sequences"
        if role is self.bright:
            return "fluid is bright in it alone"
        if abs(self.likeness[role]) <= self.limits.tissue:
            return "fluid is dark in it"
        return f"fluid is dark in it, {'grey' if self.likeness[role] > 0 else 'white'} matter the brighter one"

    def _contrast(self, looks: frozenset[Role], tail: float, beside: Role) -> tuple[frozenset[Role], str]:
        """Before or after contrast, by the tail on the side of this sequence."""
        if tail > self.limits.tail:
            return (looks or _T1S) - {Role.T1}, f"vessels or lesions shine beside the series chosen as {beside.value}"
        if tail < 1 / self.limits.tail:
            return (looks or _T1S) - {Role.T1C}, f"vessels or lesions shine in the series chosen as {beside.value}"
        return looks, NO_CONTRAST
