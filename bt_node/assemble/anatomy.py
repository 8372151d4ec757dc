"""Which part of the body a series shows, by words and by size: a head, another part, or not said.

Words come from four places, surest first: the series' own description, BodyPartExamined (or the coded region),
what was asked for (StudyDescription), and what the other series of the study are called.
"""

from __future__ import annotations

from bt_node.assemble.candidate import Candidate
from bt_node.assemble.vocabulary import alone, words
from bt_node.assemble.words import first_key, normalise
from bt_node.domain.study import Plane

_NECK = "neck"
_BREATHING = "breathing"  # held or triggered: done for the trunk

# fmt: off
HEAD_WORDS = words(
    ("head", alone(
        "head", r"brain\w*", "skull", "kopf", r"schad\w*", r"hirn\w*", r"cran\w*", r"cereb\w*",
        r"encef\w*", r"enceph\w*", "tete", "cabeza", "cabeca", "testa", r"mozg\w*", r"glow\w*", "beyin", "hoofd",
        "headneck", "craneo", "cerveau", "cervello", r"hersen\w*", r"schaed\w*", "kranial", r"kafa\w*",
        "vertebralcranium", "nch", r"glio\w*", "sella", "pituitary", "iac", "orbits?", "face")
        + "|頭|脳|头|颅|脑|мозг|голов|뇌|두부"),
)
BODY_WORDS = words(
    ("spine", alone(
        r"spin(?:e(?!cho)|a)\w*", "[ctls] ?spine", r"cervic\w*", r"lumb\w*", r"thorac\w*", "hws", "bws", "lws", "ws",
        "rachis", r"sacr\w*", "colonna", "columna", "coluna", "rachide", r"kregoslup\w*", r"wirbel\w*", r"omurga\w*",
        r"servikal\w*", r"lomber\w*", r"torakal\w*", r"wervel\w*", r"myelo\w*", r"vertebra(?!lcranium)\w*",
        "whole ?spine")
        + r"|脊|椎|позвон|пояснич|шейн|경추|요추|척추"
        # a range of vertebrae: L1-S1, C2-Th1, L4/5
        + r"|(?<![a-z0-9])(?:[cl]|th)\d{1,2} (?:(?:[cls]|th)\d{1,2})(?![a-z0-9])"),
    ("joint", alone(
        "knees?", r"knie\w*", "genoux?", "ginocchio", "rodilla", "joelho", r"kolan\w*", "hips?", "hanche", "hombro",
        r"shoulder\w*", r"schulter\w*", "epaule", "spalla", "ankle", "wrist", "elbow", "hufte", "huefte", "heup",
        "schouder", "cadera", "quadril", "ombro", "cheville", "poignet", "coude", "caviglia", "tobillo", "muneca",
        "tornozelo", "punho", "omuz", "kalca", "bark", "biodro", r"handgel\w*", r"sprunggel\w*", "hand", "foot",
        "fuss", "finger", r"extremit\w*", "leg", "arm", "thigh", "femur", "tibia", "calf")
        + "|膝|肩|髋|колен|плеч|тазобед|무릎|어깨"),
    (_NECK, alone("neck", "hals", "cou", "collo", "cuello", "pescoco", r"szyj\w*", r"carotid\w*") + "|颈部|頸部"),
    ("body", alone(
        r"abdom\w*", "addome", "liver", "leber", "foie", r"pelvi\w*", "becken", r"prosta\w*", "breast", r"mamm\w*",
        r"cardi\w*", "heart", "herz", "chest", "thorax", "lungs?", "lunge", "kidneys?", r"renal\w*", "nieren?",
        "uterus", r"rect(?:um|al)", "rektum", r"ovar\w*", "pancreas", "pankreas", "mrcp",
        r"entero\w*", r"(?:ober|unter)?bauch\w*", "bassin", "bacino", "buik", "bekken", "borst",
        r"brzuch\w*", r"miednic\w*", "batin", "kalp", "mama", "corazon", "coracao", "coeur", "cuore", "fegato",
        "higado", "figado", r"whole ?body\w*")
        + "|腹|盆腔|骨盤|乳腺|乳房|肝|前列腺|心脏|брюш|живот|груд|малого таза|복부|골반"),
    (_BREATHING, alone("bh", r"breath ?h\w*", "apnee", "apnoe?", "navtrig", r"resp(?: ?trig)?", "trig")),
)
# fmt: on
# A department, and so neither head nor spine where the spine is named beside it.
_NEURO = words(("neuro", alone(r"neuro\w*")))
_WIDEST_HEAD_MM = 350.0  # field of view: whole heads fit into 280 mm, with neck and shoulders into 300
_FEWEST_SLICES = 9  # fewer are a localizer
_NARROWEST_HEAD_MM = 75.0  # sagittal slices from ear to ear: 130 mm and more; spines and knees have 40 to 70


def other_part(candidate: Candidate) -> str | None:
    """Why this series does not show a head, or None where it does, may, or nothing is said."""
    if any(first_key(HEAD_WORDS, text) for text in candidate.texts):
        return None
    part = normalise(candidate.series.body_part)
    asked = normalise(candidate.series.study_description)
    found = _part(part)
    if found == _NECK:  # filled in by habit, unless another says so, too
        return f"BodyPartExamined and StudyDescription say {_NECK}" if _part(asked) == _NECK else None
    if found:
        return f"BodyPartExamined is {found}, not the head"
    found = next((found for text in candidate.texts if (found := _part(text))), None)
    if found and not (found == _BREATHING and first_key(HEAD_WORDS, part)):
        return f"description says {found}, not the head"
    if (found := _part(asked)) and not first_key(HEAD_WORDS, part) and not first_key(_NEURO, asked):
        return f"StudyDescription says {found}, not the head"
    return None


def too_large_or_narrow(candidate: Candidate) -> str | None:
    """Why its size is not that of a head, or None."""
    facts, shape = candidate.series.slices[0], candidate.shape
    view = max(facts.rows * facts.pixel_spacing[0], facts.columns * facts.pixel_spacing[1])
    if view > _WIDEST_HEAD_MM:
        return f"a field of view of {view:.0f} mm: more than a head"
    if (length := shape.slices * shape.spacing_mm) > _WIDEST_HEAD_MM:
        return f"slices over {length:.0f} mm: more than a head"
    named = any(first_key(HEAD_WORDS, text) for text in candidate.texts)
    if shape.plane is Plane.SAGITTAL and shape.coverage_mm < _NARROWEST_HEAD_MM and not named:
        return f"sagittal slices over {shape.coverage_mm:.0f} mm only: less than a head is wide"
    return None


def names_another_part(everything: list[Candidate]) -> str | None:
    """Our word for another part of the body that the study shows, where nothing in it names the head.

    Words of any series tell, or sagittal slices that are too narrow for a head.
    """
    said = [text for c in everything for text in (*c.texts, normalise(c.series.body_part), _asked(c))]
    if any(first_key(HEAD_WORDS, text) for text in said):
        return None
    named = next((found for text in said if (found := first_key(BODY_WORDS, text))), None)
    if named or any(first_key(_NEURO, text) for text in said):
        return named
    return next(("a narrow part" for candidate in everything if _narrow_stack(candidate)), None)


def asked_for_another_part(candidate: Candidate) -> bool:
    """Whether what was asked for names another part of the body, and nothing surer says that this one is a head.

    BodyPartExamined is surer only where the head was asked for as well: scanners fill in what the last patient had.
    """
    asked = _asked(candidate)
    if first_key(BODY_WORDS, asked) in {None, _NECK, _BREATHING}:
        return False
    if any(first_key(HEAD_WORDS, text) for text in candidate.texts):
        return False
    both = first_key(HEAD_WORDS, asked) and first_key(HEAD_WORDS, normalise(candidate.series.body_part))
    return not both


def _narrow_stack(candidate: Candidate) -> bool:
    shape = candidate.shape
    return (
        shape.plane is Plane.SAGITTAL
        and shape.planes == 1
        and shape.slices >= _FEWEST_SLICES
        and shape.coverage_mm < _NARROWEST_HEAD_MM
    )


def _asked(candidate: Candidate) -> str:
    return normalise(candidate.series.study_description)


def _part(text: str) -> str | None:
    """Our word for the part of the body that a text names, unless it names the head as well."""
    return None if first_key(HEAD_WORDS, text) else first_key(BODY_WORDS, text)
