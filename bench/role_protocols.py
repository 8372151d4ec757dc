"""Studies as vendors and sites write them, generated from tables of naming habits, with the truth known.

A protocol is one study: its four sequences in a vendor's words and physics, contrast told (or not) in one of many
ways, and the series that travel along. The tables are what real exports look like; the combinations are generated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from study_maker import (
    BRAVO,
    EPI,
    FFE_2D,
    FLAIR_3D,
    GRE_T2S,
    IR_FLAIR,
    MPRAGE,
    SE_T1,
    SPACE_T1,
    SPACE_T2,
    STIR,
    T1_FLAIR,
    TFE,
    TOF,
    TSE_PD,
    TSE_T2,
    mr_series,
)

from bt_node.domain.study import Role, SeriesFacts, StudyFacts

Facts = dict[str, Any]
THIN: Facts = {"spacing_mm": 2.0, "slices": 80}  # a volume, with fewer slices than a real one: only time is saved


@dataclass(frozen=True)
class Habit:
    """How one product names the sequences; {c} is where sites put their word about contrast."""

    vendor: str
    t1: str
    t2: str
    flair: str
    physics: tuple[Facts, Facts, Facts]  # of T1, T2, FLAIR


HABITS = (
    Habit("Siemens", "t1_se_tra{c}", "t2_tse_tra_320", "t2_tirm_tra_dark-fluid", (SE_T1, TSE_T2, IR_FLAIR)),
    Habit("Siemens", "t1_tse_tra{c}_320", "t2_blade_tra", "t2_tirm_tra_darkfluid_fs", (SE_T1, TSE_T2, IR_FLAIR)),
    Habit(
        "Siemens",
        "t1_mprage_sag_iso{c}",
        "t2_space_sag_p2_iso",
        "t2_spc_da-fl_sag_p2_iso",
        (MPRAGE, SPACE_T2, FLAIR_3D),
    ),
    Habit("Siemens", "t1_space_sag{c}", "t2_tse_tra_512", "t2_space_dark-fluid_sag_p2", (SPACE_T1, TSE_T2, FLAIR_3D)),
    Habit("Siemens", "t1_fl2d_tra{c}", "t2_tse_rst_tra", "t2_tirm_dark-fluid_rst", (FFE_2D, TSE_T2, IR_FLAIR)),
    Habit("GE", "Ax T1{c}", "Ax T2 FRFSE", "Ax T2 FLAIR", (SE_T1, TSE_T2, IR_FLAIR)),
    Habit(
        "GE",
        "Ax T1 FSPGR{c}",
        "AX T2 PROPELLER",
        "AX FLAIR CUBE",
        (BRAVO, TSE_T2, {**FLAIR_3D, "echo_time_ms": 117.0}),
    ),
    Habit("GE", "Sag 3D T1 BRAVO{c}", "Sag T2 CUBE", "Sag CUBE T2FLAIR", (BRAVO, SPACE_T2, FLAIR_3D)),
    Habit("GE", "Ax T1 FLAIR{c}", "Ax T2 FSE", "Ax T2 FLAIR Fatsat", (T1_FLAIR, TSE_T2, IR_FLAIR)),
    Habit("Philips", "sT1W_3D_TFE{c}", "T2W_TSE", "T2W_FLAIR", (TFE, TSE_T2, IR_FLAIR)),
    Habit("Philips", "T1W_SE{c}", "T2W_TSE_CLEAR", "FLAIR_longTR", (SE_T1, TSE_T2, IR_FLAIR)),
    Habit("Philips", "T1W_FFE{c}", "T2W_TSE_MV", "3D_Brain_VIEW_FLAIR", (FFE_2D, TSE_T2, FLAIR_3D)),
    Habit("Canon", "T1 SE AX{c}", "T2 FSE AX", "FLAIR AX FASE", (SE_T1, TSE_T2, IR_FLAIR)),
    Habit("Canon", "SAG 3D T1 FFE{c}", "AX T2 JET", "SAG 3D FLAIR", (TFE, TSE_T2, FLAIR_3D)),
    Habit("UIH", "t1_gre_fsp_3d_sag{c}", "t2_fse_tra", "t2_fse_flair_tra", (TFE, TSE_T2, IR_FLAIR)),
    Habit("UIH", "t1_fse_tra{c}", "t2_fse_tra_fs", "t2_fse_dark fluid_tra", (SE_T1, TSE_T2, IR_FLAIR)),
    Habit("Hitachi", "T1WI{c} ax", "T2WI ax", "FLAIR ax", (SE_T1, TSE_T2, IR_FLAIR)),
    Habit("Neusoft", "AX{c} T1 SE", "AX T2 FSE", "AX FLAIR FSE", (SE_T1, TSE_T2, IR_FLAIR)),
)

# Language or habit, word before contrast, word after contrast.
CONTRAST_WORDS = (
    ("english", " pre", " post"),
    ("english, one word", "", " POST GAD"),
    ("english, w/o", " W/O", " W/ CONTRAST"),
    ("plus", "", "+C"),
    ("minus and plus", " C-", " C+"),
    ("Gd", "", "_Gd"),
    ("pc", "", "_pc"),
    ("german KM", "", "_km"),
    ("german nativ", " nativ", " nach KM"),
    ("german ohne", " ohne KM", " mit KM"),
    ("french", " sans inj", " avec injection"),
    ("french gado", " SANS GADO", " GADO"),
    ("spanish", " sin contraste", " con contraste"),
    ("spanish short", " S/C", " C/C"),
    ("italian", " senza mdc", " con mdc"),
    ("italian basale", " basale", " dopo mdc"),
    ("polish", " bez kontrastu", " po kontra\u015bcie"),
    ("turkish", " kontrasts\u0131z", " kontrastl\u0131"),
    ("dutch", " blanco", " na contrast"),
    ("dutch zonder", " zonder contrast", " met gadolinium"),
    ("portuguese", " sem contraste", " p\u00f3s contraste"),
    ("swedish", " utan kontrast", " med kontrast"),
    ("czech", " nativ", " po k.l."),
    ("romanian", " nativ", " cu contrast"),
    ("hungarian", " nat\u00edv", " kontraszt"),
    ("finnish", " ilman gd", " gd"),
    ("japanese", " \u9020\u5f71\u524d", " \u9020\u5f71\u5f8c"),
    ("chinese", " \u5e73\u626b", " \u589e\u5f3a"),
    ("korean", " \uc870\uc601\uc804", " \uc870\uc601\ud6c4"),
    (
        "russian",
        " \u0431\u0435\u0437 \u043a\u043e\u043d\u0442\u0440\u0430\u0441\u0442\u0430",
        " \u0441 \u043a\u043e\u043d\u0442\u0440\u0430\u0441\u0442\u043e\u043c",
    ),
)

# What travels along and is none of the four.
BYSTANDERS: tuple[tuple[str, Facts], ...] = (
    ("localizer", TFE),
    ("AAHead_Scout_MPR_sag", {**TFE, "image_type": ("DERIVED", "PRIMARY", "MPR")}),
    ("ep2d_diff_3scan_trace_p2", EPI),
    ("dADC", {**EPI, "image_type": ("DERIVED", "PRIMARY", "ADC")}),
    ("SWI_Images", GRE_T2S),
    ("TOF_3D_multi-slab", TOF),
    ("t2_tirm_cor", STIR),
    ("PD tse tra", TSE_PD),
    ("t1_mprage MPR cor", {**MPRAGE, "image_type": ("DERIVED", "SECONDARY")}),
    ("T1 MIP", {**MPRAGE, "image_type": ("DERIVED", "SECONDARY", "MIP")}),
    ("SUB T1", {**SE_T1, "image_type": ("DERIVED", "SECONDARY", "SUBTRACTION")}),
    ("T2 FFE hemo", GRE_T2S),
    ("rCBV", {**EPI, "image_type": ("DERIVED", "PRIMARY", "CBV")}),
)


@dataclass(frozen=True)
class Protocol:
    """A study with its truth: the SeriesInstanceUIDs that are right for each role; none means that it is missing."""

    name: str
    kind: str
    study: StudyFacts
    truth: dict[Role, frozenset[str]] = field(hash=False)


def protocols() -> Iterator[Protocol]:
    """All of them, always in the same order."""
    yield from _named()
    for habit in HABITS:
        yield from _unnamed(habit)
        yield from _traps(habit)


def _named() -> Iterator[Protocol]:
    """Every vendor in every language, with one of four kinds of header each."""
    headers = ("whole", "no TI", "no sequence type", "no times")
    for row, (language, before, after) in enumerate(CONTRAST_WORDS):
        for column, habit in enumerate(HABITS):
            header = headers[(row + column) % len(headers)]
            made = StudyOfHabit(habit).t1(before).t2().flair().t1(after, contrast=True)
            yield made.bystanders().headers(header).done(f"{habit.vendor} {habit.t1} {language}, {header}", "words")


def _unnamed(habit: Habit) -> Iterator[Protocol]:
    """Contrast is told by something else than words, or by nothing but order."""
    name = f"{habit.vendor} {habit.t1}"
    tagged = StudyOfHabit(habit).t1().t2().flair().t1(contrast=True, contrast_agent="GADOVIST")
    yield tagged.bystanders().done(f"{name} agent", "agent")
    copied = (
        StudyOfHabit(habit).t1(" nativ").t2().flair().t1(" KM", contrast=True).everywhere(contrast_agent="DOTAREM")
    )
    yield copied.bystanders().done(f"{name} agent on all, words", "agent copied")
    silent = StudyOfHabit(habit).t1().t2().flair().t1(contrast=True)
    yield silent.bystanders().done(f"{name} order", "time order")
    yield silent.headers("no times").done(f"{name} numbers", "number order")
    both = StudyOfHabit(habit).t1(contrast_agent="GD").t2().flair().t1(contrast=True, contrast_agent="GD")
    yield both.bystanders().done(f"{name} agent on both T1", "time order")
    wordless = StudyOfHabit(replace(habit, t1="", t2="", flair="")).t1().t2().flair().t1(contrast=True)
    yield wordless.done(f"{name} no words", "no words")


def _traps(habit: Habit) -> Iterator[Protocol]:
    """Where a guess is tempting and wrong."""
    name = f"{habit.vendor} {habit.t1}"
    yield StudyOfHabit(habit).t1().t2().flair().t1().done(f"{name} repeated, no contrast at all", "repeated T1")
    yield StudyOfHabit(habit).t2().flair().t1(contrast=True).done(f"{name} after contrast only, silent", "silent T1c")
    lied = StudyOfHabit(habit).t1(" KM").t2().flair().t1(" nativ", contrast=True)
    yield lied.done(f"{name} before and after exchanged", "wrong words")
    other = StudyOfHabit(habit).t1().t2().flair().t1(" KM", contrast=True).t1(contrast=True, as_habit=_other(habit))
    yield other.done(f"{name} and another silent T1 after it", "silent T1c")
    early = StudyOfHabit(habit).t2().flair().t1(contrast=True, as_habit=_other(habit)).t1(" KM", contrast=True)
    yield early.done(f"{name} and a silent T1 after contrast before it", "silent T1c")
    swapped = StudyOfHabit(habit).t1(" nativ").t2(name=habit.flair).flair(name=habit.t2).t1(" KM", contrast=True)
    yield swapped.done(f"{name} T2 and FLAIR exchanged in words", "wrong words")
    again = StudyOfHabit(habit).t1(" nativ").t2().flair().flair().t1(" KM", contrast=True)
    yield again.done(f"{name} FLAIR twice", "repeated FLAIR")


def _other(habit: Habit) -> Habit:
    """A T1 of another kind than this site's own."""
    return HABITS[2] if habit.physics[0].get("acquisition_type") != "3D" else HABITS[0]


class StudyOfHabit:
    """Series of one study in the order of acquisition, a few minutes apart."""

    def __init__(self, habit: Habit) -> None:
        self._habit = habit
        self._made: list[SeriesFacts] = []
        self._truth: dict[Role, set[str]] = {role: set() for role in Role}

    def t1(
        self, word: str = "", *, contrast: bool = False, as_habit: Habit | None = None, **facts: Any
    ) -> StudyOfHabit:
        habit = as_habit or self._habit
        role = Role.T1C if contrast else Role.T1
        return self._add(role, habit.t1.replace("{c}", word), {**habit.physics[0], **facts})

    def t2(self, name: str | None = None) -> StudyOfHabit:
        return self._add(Role.T2, self._habit.t2 if name is None else name, self._habit.physics[1])

    def flair(self, name: str | None = None) -> StudyOfHabit:
        return self._add(Role.FLAIR, self._habit.flair if name is None else name, self._habit.physics[2])

    def bystanders(self) -> StudyOfHabit:
        for description, physics in BYSTANDERS:
            self._add(None, description, physics)
        return self

    def everywhere(self, **facts: Any) -> StudyOfHabit:
        self._made = [replace(series, **facts) for series in self._made]
        return self

    def headers(self, kind: str) -> StudyOfHabit:
        lost: dict[str, Facts] = {
            "no TI": {"inversion_time_ms": None},
            "no sequence type": {"scanning_sequence": (), "sequence_variant": ()},
            "no times": {"acquired_at_s": None},
        }
        return self.everywhere(**lost.get(kind, {}))

    def done(self, name: str, kind: str) -> Protocol:
        truth = {role: frozenset(uids) for role, uids in self._truth.items()}
        return Protocol(name, kind, StudyFacts("1.2.3", tuple(self._made)), truth)

    def _add(self, role: Role | None, description: str, physics: Facts) -> StudyOfHabit:
        number = len(self._made) + 1
        thin = THIN if physics.get("acquisition_type") == "3D" else {}
        made = mr_series(number, description, minute=4.0 * number, **thin, **physics)
        self._made.append(replace(made, manufacturer=self._habit.vendor))
        if role is not None:
            self._truth[role].add(made.series_instance_uid)
        return self
