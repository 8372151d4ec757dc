"""What people and vendors write into SeriesDescription and ProtocolName, as data.

Every entry has a key, which is our own word for it, and a pattern over normalised text. Only keys are ever shown:
the text itself may hold a patient's name. Text is normalised by `normalise` first: lower case, accents gone,
separators turned into spaces, so patterns need no variants for "T1_tse", "T1-TSE" and "T1 TSE".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """One recognised word: the key that may be shown, and the pattern that finds it in normalised text."""

    key: str
    pattern: re.Pattern[str]


def _words(*entries: tuple[str, str]) -> tuple[Word, ...]:
    return tuple(Word(key, re.compile(pattern)) for key, pattern in entries)


def _token(*alternatives: str) -> str:
    """Alternatives standing alone: no letter on either side (digits may touch: "t1gd", "b1000")."""
    return rf"(?<![a-z])(?:{'|'.join(alternatives)})(?![a-z])"


# "sT1W", "pdT2" and "AXT1POST" are T1 and T2, "post1" and "test2" are not.
_PREFIX = r"(?:(?<![a-z])[a-z]?|(?<=ax)|(?<=axial)|(?<=sag)|(?<=cor)|(?<=tra)|(?<=obl)|(?<=pd)|(?<=tse)|(?<=fse))"

T1_WORDS = _words(("T1", _PREFIX + r"t ?1(?![0-9])"))
T1_SEQUENCES = _words(
    ("MPRAGE", r"mp ?rage|mp2 ?rage"),
    ("MPR", _token("mpr")),  # Siemens' short name of MPRAGE; reformats are known by ImageType
    ("BRAVO", r"bravo"),
    ("SPGR", r"f?spgr|efgre ?3d|fast ?spgr"),
    ("TFE", r"(?<!b)tfe"),
    ("TFL", _token("tfl", r"tfl3d\d?")),
    ("VIBE", r"vibe|thrive|lava|tigre|quick ?3d"),
)
T2_WORDS = _words(("T2", _PREFIX + r"t ?2(?![0-9])"), ("HASTE", _token("haste", "ssfse", "ssh tse")))
FLAIR_WORDS = _words(
    ("FLAIR", r"flair|fluid ?att|(?<![a-z])flr(?![a-z])|フレア|フレアー|флаир|флэир"),
    ("dark fluid", r"dark ?fl|da ?fl(?![a-z])|dunkle fl|水抑制|抑水|压水|壓水|黑水"),
)
PD_WORDS = _words(("PD", _token("pd", "pdw", "pdfs", "dp", "rho", r"proton ?dens\w*", "pdt2", "pd t2")))
FAT_FREE_WORDS = _words(
    (
        "fat saturation",
        _token("fs", "fatsat", "fat sat", "fat ?supp?r?e?s?s?e?d?", "spir", "spair", "chess", "we", "dixon"),
    )
)

_BEFORE_AND_AFTER = re.compile(
    r"\+ ?/ ?-|±|"
    + _token(
        "w/? ?wo",
        "w/? ?w/o",
        "wwo",
        "w and w/?o",
        "with (?:and|&) without",
        "with/without",
        "pre ?(?:and|&|/|\\+)? ?post",
    )
    + "|"
    + _token("mit (?:und|u) ohne", "ohne (?:und|u) mit", "nativ (?:und|u|/) km", "avec et sans", "sans et avec")
    + "|"
    + _token("con y sin", "sin y con", "con e senza", "senza e con", "com e sem", "sem e com")
)

_AGENT = (
    r"(?:contrast\w*|contr|kontr\w*|cont|km|kl|k l|k m|gd\w*|gad\w*|inj\w*|pdc|pc|mdc|m d c|mc|cte|civ|iv|ce|dotarem|ku|ку|"
    r"контраст\w*|c)"
)

CONTRAST_ABSENT = _words(
    (
        "without contrast",
        _token(rf"(?:without|w ?/ ?o|wo|no|non|un|minus) ?{_AGENT}", "noncon", "nocon\\w*", "unenh\\w*"),
    ),
    ("without contrast", _token("nonenh\\w*", "non enh\\w*", "w ?/ ?o", "plain")),
    ("before contrast", _token(rf"(?:pre|before|prior to) ?{_AGENT}?", "precon\\w*", "pregad\\w*", "pregd")),
    ("native", _token("nativ[aeo]?", "nat", "basal[e]?", "blanco", "diretta", "simple", "единств", "нативн\\w*")),
    ("ohne KM", _token(rf"(?:ohne|o|vor|v) ?{_AGENT}")),
    ("sans injection", _token(rf"(?:sans|ss|avant) ?{_AGENT}", "noninj\\w*")),
    ("sin contraste", _token(rf"(?:sin|antes de|previo a) ?{_AGENT}", "s ?/ ?c")),
    ("senza mdc", _token(r"(?:senza|s|prima (?:di|del)) ?(?:contrast\w*|mdc|m d c|gd|gad\w*)", "smdc")),
    ("sem contraste", _token(rf"(?:sem|antes do) ?{_AGENT}")),
    ("bez kontrastu", _token(rf"(?:bez|przed|pred|utan|uden|uten|zonder|voor|fore|for|ilman) ?{_AGENT}")),
    ("kontrastsiz", r"kontrast ?siz|kontrastsiz|kontrast oncesi|до контраст\w*|без контраст\w*|без ку"),
    ("造影前", r"造影前|単純|平扫|平掃|增强前|增強前|조영 ?전"),
)

CONTRAST_PRESENT = _words(
    ("+C", r"(?<![a-z])\+ ?(?:c|k|km|gd|gad\w*|contrast\w*|ce|mdc|gado)(?![a-z])|(?<![a-z])(?:c|gd|km) ?\+"),
    (
        "post",
        r"(?<![a-z])post(?!er|ero|op|ur| ?op| ?surg| ?rt| ?rad| ?tx| ?biops| ?trauma|central)|postcon|(?<![a-z])pos ?(?=contrast|gd|gad)|(?<![a-z])pos(?![a-z])",
    ),
    (
        "Gd",
        r"(?<![a-z])gd(?:[ -]?dtpa|[ -]?do3a|[ -]?bopta|[ -]?dota)?(?![a-z])|(?<![a-z])gad(?![a-z])|gado\w*|gadav\w*",
    ),
    (
        "contrast agent",
        r"dotarem|magnevist|prohance|multihance|omniscan|clariscan|elucirem|vueway|artirem|dotagraf|cyclolux",
    ),
    ("contrast", _token("contrast\\w*", "kontrast\\w*", "contr", "kontr", "contraste")),
    ("CE", _token("ce", "t1 ?w?ce", "cet1", "enh", "enhanced", "enhancement", "wc", "w/ ?c", "w c", "wcon")),
    ("T1c", r"t1 ?w? ?c(?![a-z])(?! ?spine)"),
    ("KM", _token("km", "nkm", "mkm", "kkm", "nach km", "mit km", "k m")),
    ("après injection", _token("apres inj\\w*", "avec inj\\w*", "inj", "inject\\w*", "pdc", "apc", "av(?:ec)? gado")),
    ("con contraste", _token("con cte", "c ?/ ?c", "con civ", "civ", "apos (?:c|gd|contrast\\w*)")),
    ("mdc", _token("mdc", "m d c", "dopo mdc", "con mdc", "cmdc")),
    ("po kontraście", _token("po k", "po kontr\\w*", "z kontr\\w*", "po podaniu", "s k ?l", "po k ?l")),
    ("kontrastlı", r"kontrastli|kontrast sonrasi|после контраст\w*|с контраст\w*|постконтраст\w*|с ку"),
    ("造影", r"造影|增强|增強|注药后|조영"),
)

# Not one of the four sequences. First match names the reason, so the more telling words stand first.
EXCLUDED_WORDS = _words(
    ("screenshot", _token("screen ?s\\w*", "screen ?shot", "capture", "snap ?shot", "key ?images?", "phoenix\\w*", "summary")),
    ("localizer", _token("loc", "locs", r"locali[sz]\w*", r"lokali[sz]\w*", r"locali[sz]ador", "scouts?", "survey\\w*", "surv")),
    ("localizer", _token("topogram\\w*", "pilot\\w*", "aa ?head\\w*", "aa ?scout\\w*", "aahscout", "auto ?align\\w*", "smart ?brain")),
    ("localizer", _token("3 ?pl\\w*", "3p", "tri ?plan\\w*", "reper\\w*", "plan ?scan", "pozycjon\\w*") + "|位置決め|定位|локалайз"),
    ("calibration scan", _token("cal", "calib\\w*", "(?:sense|asset|coil)[ -]?(?:ref\\w*|survey|cal\\w*)", "ref ?scan", "shim\\w*")),
    ("field map", _token("field ?map\\w*", "b0 ?map\\w*", "b1 ?map\\w*", "gre ?field\\w*", "fm", "tfl ?b1map", "b1map")),
    ("subtraction", _token("subs?", "subtr\\w*", "substr\\w*", "subtrak\\w*", "soustr\\w*", "sustr\\w*", "sottr\\w*", "subtrac\\w*")),
    ("maximum intensity projection", _token("mip", "mips", "minip", "mnip", "max ?ip", "thin ?mip", "proj\\w*")),
    ("apparent diffusion coefficient", _token("adc", "dadc", "eadc", "e ?adc", "adc ?map", "dapp?ar\\w*")),
    ("diffusion", _token("dwi?", "dti", "dsi", "hardi", "noddi", "diff", "diffu\\w*", "trace\\w*", "tracew", "resolve", "tensor\\w*"))
    ,
    ("diffusion", _token("b ?[1-9]\\d{2,3}", "dwibs", "colfa", "fa ?map", "fa$", "isodwi", "ivim", "dki", "difus\\w*", "dyfuz\\w*", "difuz\\w*")
     + "|拡散|弥散|彌散|扩散|диффуз"),
    ("perfusion", _token("perf\\w*", "pwi", "dsc", "dce", "cbf", "cbv", "rcbv", "rcbf", "mtt", "ttp", "tmax", "ktrans", "gbp", "pbp") + "|灌注|灌流"),
    ("arterial spin labelling", _token("asl", "pc ?asl", "p?casl", "pasl", "3d ?asl")),
    ("functional MRI", _token("f ?mri", "bold", "rest", "rsfmri", "resting\\w*", "ep2d ?bold\\w*", "epi", "ge ?epi", "task\\w*")),
    ("spectroscopy", _token("mrs", "mrsi", "svs", "csi", "spectro\\w*", "spektro\\w*", "espectro\\w*")),
    ("susceptibility weighting", _token("swi\\w*", "swan", "swip", "e?swan", "suscept\\w*", "veno ?bold", "qsm", "pha images?", "mag images?")),
    ("T2*", r"t2w? ?\*|t2 ?star|" + _token("t2s", "hemo\\w*", "hamo\\w*", "medic", "merge", "me?gre", "haem\\w*")),
    ("T2*", r"t2w?.*" + _token("gre", "ffe", "fl2d", "fl3d", "flash", "ge2d", "eg", "gradient\\w*") + "|" + _token("ffe t2", "gre t2\\w*")),
    ("angiography", _token("mra", "mrv", "mrag", "tof", "3dtof\\w*", "tof3d", "angio\\w*", "veno\\w*", "venc", "pca", "3dpca?", "pc3d", "2dpc", "cow")),
    ("angiography", _token("twist", "tricks", "inhance", "phase ?contrast", "q ?flow", "flow", "black ?blood\\w*", "arteries", "wenogr\\w*")
     + "|血管|ангио"),
    ("balanced steady state", _token("b ?ffe", "b ?tfe", "balanced", "ciss", "fiesta\\w*", "tru ?fi\\w*", "true ?fisp", "ssfp")),
    ("parameter map", _token("t[12] ?maps?\\w*", "maps?", "relaxo\\w*", "t1 ?rho", "r2", "mtr", "apt\\w*")),
    ("part of MP2RAGE", _token("inv ?[12]", "uni", "uni images?")),
    ("double inversion recovery", _token("dir")),
    ("STIR", _token("stir\\w*")),
    ("dynamic series", _token("dyn", "dynam\\w*", "dynami\\w*")),
    ("fat or opposed-phase image", _token("opp\\w*", "out ?of ?phase", "fat ?only", "dixon f", "f$")),
    ("fused image", _token("fus\\w*", "overlay\\w*", "colou?r\\w*")),
)  # fmt: skip

REFORMAT_WORDS = _words(
    ("reformat", _token("mpr", "reformat\\w*", "rfmt", "reform\\w*", "curved", "recon\\w*", "mprs?"))
)

BODY_WORDS = _words(
    ("spine", _token("spin[ea]\\w*", "[ctl] ?spine", "cervic\\w*", "lumb\\w*", "thorac\\w*", "hws", "bws", "lws", "rachis", "sacr\\w*")),
    ("spine", _token("colonna", "columna", "coluna", "kregoslup\\w*", "wirbel\\w*", "rygg\\w*", "omurga\\w*") + "|脊|позвон"),
    ("joint", _token("knees?", "knie\\w*", "genoux?", "ginocchio", "rodilla", "joelho", "kolan\\w*", "hips?", "hanche", "hombro",
                     "shoulder\\w*", "schulter\\w*", "epaule", "spalla", "ankle", "wrist", "elbow")),
    ("body", _token("abdom\\w*", "liver", "leber", "foie", "pelvi\\w*", "becken", "prostat\\w*", "breast", "mamm\\w*", "cardiac", "heart", "herz")),
)  # fmt: skip
HEAD_WORDS = _words(
    ("head", _token("head", "brain\\w*", "skull", "kopf", "schad\\w*", "hirn\\w*", "neuro\\w*", "cran\\w*", "cereb\\w*", "encef\\w*",
                    "enceph\\w*", "tete", "cabeza", "cabeca", "testa", "mozg\\w*", "glow\\w*", "beyin", "bas", "hoofd")
     + "|頭|脳|头|颅|脑|мозг|голов"),
)  # fmt: skip

# Siemens SequenceName and GE/Philips equivalents whose prefix alone says that this is none of the four.
EXCLUDED_SEQUENCES = _words(
    ("diffusion", r"^\*?(?:ep_?b|ez_?b|re_?b|ep2d_?b\d)"),
    ("functional MRI or perfusion", r"^\*?(?:epfid|epi)"),
    ("susceptibility weighting", r"^\*?(?:swi|qswi)"),
    ("balanced steady state", r"^\*?(?:ci3d|tfi|tf3d)"),
    ("angiography", r"^\*?(?:fl3d1r|fi3d1r|pc[23]d|fl_pc|fl_tof|tof)"),
    ("field map", r"^\*?fm2d"),
    ("spectroscopy", r"^\*?(?:svs|csi)"),
)

_LETTERS = str.maketrans({"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ß": "ss", "æ": "ae"})
_CYRILLIC_T = re.compile(r"т(?= ?[12])")
_CAMEL = re.compile(r"(?<=[a-z])(?=(?:FLAIR|TSE|FSE|MPRAGE|POST|GD)(?![a-z]))")
_C_MINUS = re.compile(r"(?<=[\s_0-9w])c ?-(?=[\s_)]|$)|(?<=\s)- ?c(?![a-z])")
_SEPARATORS = re.compile(r"[\s_\-.,;:()\[\]{}'\"=#!?<>|~^]+")


def normalise(text: str) -> str:
    """Lower case, accents stripped, full-width characters folded, separators as single spaces."""
    folded = unicodedata.normalize("NFKC", text)
    plain = "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))
    lower = unicodedata.normalize("NFC", _CAMEL.sub(" ", plain)).lower().translate(_LETTERS)
    lower = _CYRILLIC_T.sub("t", lower)
    lower = lower.replace("+/-", " ± ").replace("+-", " ± ")
    lower = _C_MINUS.sub(" without contrast ", lower)
    return _SEPARATORS.sub(" ", lower).strip()


def first_key(words: Sequence[Word], text: str) -> str | None:
    """Key of the first word found in normalised text."""
    return next((word.key for word in words if word.pattern.search(text)), None)


def contrast_word(text: str) -> tuple[bool | None, str]:
    """Whether normalised text says that contrast was given: True, False or None (silent or both), and the key."""
    if _BEFORE_AND_AFTER.search(text):
        return None, ""
    absent = first_key(CONTRAST_ABSENT, text)
    present = first_key(CONTRAST_PRESENT, without_words(CONTRAST_ABSENT, text))
    if absent and present:
        return None, ""
    if present:
        return True, present
    return (False, absent) if absent else (None, "")


def without_words(words: Sequence[Word], text: str) -> str:
    """Normalised text with the found words cut out, and no double spaces."""
    for word in words:
        text = word.pattern.sub(" ", text)
    return " ".join(text.split())


def without_contrast_words(text: str) -> str:
    """Normalised text without anything that speaks about contrast: what twins before and after have in common."""
    return without_words((*CONTRAST_ABSENT, *CONTRAST_PRESENT), text)
