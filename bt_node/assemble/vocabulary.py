r"""What people and vendors write into SeriesDescription and ProtocolName, as data.

Each entry has a key, which is our own word for it, and a pattern over normalised text (see `words.normalise`: lower
case, accents gone, separators turned into single spaces), so patterns need no variants for "T1_tse", "T1-TSE" and
"T1 TSE". Only keys are ever shown: the text itself may hold a patient's name.

Patterns given to `alone` must stand alone: no letter on either side; digits may touch ("t1gd", "b1000").
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """One recognised word: the key that may be shown, and the pattern that finds it in normalised text."""

    key: str
    pattern: re.Pattern[str]


def alone(*alternatives: str) -> str:
    """A pattern of words that stand alone: no letter on either side."""
    return rf"(?<![a-z])(?:{'|'.join(alternatives)})(?![a-z])"


def words(*entries: tuple[str, str]) -> tuple[Word, ...]:
    """A list of words from pairs of key and pattern."""
    return tuple(Word(key, re.compile(pattern)) for key, pattern in entries)


# fmt: off
# ---------------------------------------------------------------- weighting

# "sT1W", "pdT2" and "AXT1POST" are T1 and T2; "post1" and "test2" are not.
_PREFIX = r"(?:(?<![a-z])[a-z]?|(?<=ax)|(?<=axial)|(?<=sag)|(?<=cor)|(?<=tra)|(?<=obl)|(?<=pd)|(?<=tse)|(?<=fse))"

T1_WORDS = words(("T1", _PREFIX + r"t1(?![0-9])"))
T1_SEQUENCES = words(
    ("MPRAGE", r"mp ?rage|mp2 ?rage"),
    ("MPR", alone("mpr")),  # Siemens' short name of MPRAGE; reformats are known by ImageType
    ("BRAVO", r"bravo"),
    ("SPGR", r"f?spgr|efgre ?3d"),
    ("TFE", r"(?<!b)tfe"),
    ("TFL", r"(?<![a-z])tfl"),
    ("VIBE", r"vibe|thrive|lava|tigre|quick ?3d"),
)
T2_WORDS = words(
    ("T2", _PREFIX + r"t2(?![0-9])"),
    ("HASTE", alone("haste", "ssfse", "ssh ?tse")),
)
FLAIR_WORDS = words(
    ("FLAIR", r"flair|fluid ?att|(?<![a-z])flr(?![a-z])|フレア|флаир|флэир"),
    ("dark fluid", r"dark ?fl|da ?fl(?![a-z])|dunkle fl|水抑制|抑水|压水|壓水|黑水"),
)
TIRM_WORDS = words(("TIRM", alone("tirm")))
PD_WORDS = words(("PD", alone("pd[wt]?", "pdfs", "dp", "rho", r"proton ?dens\w*", "pdw? ?t2w?")))
FAT_FREE_WORDS = words(
    ("fat saturation", alone("fs", "fat ?sat", r"fat ?supp?\w*", "spir", "spair", "chess", "we", "dixon", "water")),
)

# ---------------------------------------------------------------- contrast

_AGENT = (
    r"(?:contrast\w*|kontr\w*|contr?|km|k ?[lm]|gd\w*|gad\w*|inj\w*|pd?c|m ?d ?c|mc|cte|civ|iv|ce|dotarem"
    r"|k[uv]|к[ув]|(?<= )k|контраст\w*|produit de contraste|c)"
)

# Both at once, as an examination is called: says nothing about one series.
# What else comes before or after: an operation, a therapy, an event. "post stealth" is after contrast.
_OTHER_EVENTS = (
    r"(?! ?(?:op|surg|rt|rad|tx|chemo|biops|trauma|treat|therap|resec|excis|ictal|seiz|gk|gamma|cyber|srs|stroke|cran"
    r"|embol|thromb|shunt|coil|clip|dbs|implant|transpl|partum|infect|covid))"
)

BEFORE_AND_AFTER = re.compile(
    "±|" + alone(
        r"w ?/? ?w?/?o? ?(?:and|&|/) ?w ?/? ?o", "w/? ?wo", "w/? ?w/o", "wwo",
        "with (?:and|&) ?without", "with/ ?without", r"pre ?(?:and|&|/|\+) ?post", "pre post",
        "mit (?:und|u|/) ?ohne", "ohne (?:und|u|/) ?mit", "nativ ?(?:und|u|/|\\+) ?(?:nach )?km",
        "avec (?:et|/) ?sans", "sans (?:et|/) ?avec", "con [ye] (?:sin|senza)", "(?:sin|senza) [ye] con",
        "com e sem", "sem e com", "s ?/ ?c ?[ye] ?c ?/ ?c",
    )
)

CONTRAST_ABSENT = words(
    ("without contrast", alone(
        rf"(?:without|w ?/ ?o|wo|no|non|un|minus) ?{_AGENT}", r"noncon\w*", r"nocon\w*", r"unenh\w*",
        r"non ?enh\w*", "w ?/ ?o", "wo", "without", "plain")),
    ("before contrast", alone(
        rf"(?:pr[ae]e?|before|prior to) ?{_AGENT}", rf"pre{_OTHER_EVENTS}(?! ?sat| ?frontal)", r"precon\w*",
        r"pregad\w*")),
    ("native", alone("nativ[aeo]?", "nat", "basale?(?! gang)", "blanco", "diretta", "simple", r"нативн\w*")),
    ("ohne KM", alone(rf"(?:ohne|o|vor|(?<!i )v) ?{_AGENT}")),
    ("sans injection", alone(rf"(?:sans|ss|avant) ?(?:l )?{_AGENT}", r"non ?inj\w*")),
    ("sin contraste", alone(rf"(?:sin|antes de|previo a) ?{_AGENT}", "s ?/ ?c")),
    ("senza mdc", alone(r"(?:senza|s|prima (?:di|del)) ?(?:contrast\w*|m ?d ?c|gd|gad\w*)", "smdc")),
    ("sem contraste", alone(rf"(?:sem|antes do) ?{_AGENT}")),
    ("bez kontrastu", alone(
        rf"(?:bez|przed|pred|utan|uden|uten|zonder|voor|fore|ilman|fara|tanpa) ?(?:podaniem )?{_AGENT}",
        r"for kontr\w*")),
    ("kontrastsız", r"kontrast ?siz|kontrast oncesi|(?<![а-я])(?:до|без) (?:контраст\w*|к[ув]|введен\w*|гд|гад\w*)"),
    ("造影前", r"造影前|単純|平扫|平掃|(?:增强|增強|强化|注药|打药|注射|gd|ガド\w*|造影剤) ?前|조영 ?전"),
    # Alone at the end, where the noun is left out: "T1 axial sin", "T1 ohne".
    ("sin", r"(?<![a-z])(?:sin|sans|senza|sem|ohne|bez|utan|uden)$"),
)

CONTRAST_PRESENT = words(
    ("+C", (r"\+ ?(?:c|k|km|gd|gad\w*|contrast\w*|ce|m ?d ?c|c?iv|ку|inj\w*|kl)(?![a-z])"
           r"|(?<![a-z])(?:c|gd|km) ?\+|(?<![a-z])(?:k|c?iv|mdc|gado|ку|inj)\+")),
    # "post" of time, not "posterior", "post-op", "post-RT", "postcentral" …
    ("post", rf"(?<![a-z])post{_OTHER_EVENTS}(?!er|ur|cent|lam)"),
    ("pós", r"(?<![a-z])pos(?= ?(?:contr|gd|gad|inj|iv|c(?![a-z]))|$)"),
    ("Gd", alone("gd", "gd ?dtpa", "gd ?do3a", "gd ?bopta", "gd ?dota", "gad", r"gado\w*", r"gadav\w*")),
    ("contrast agent", alone(
        "dotarem", "magnevist", "prohance", "multihance", "omniscan", "clariscan", "elucirem", "vueway", "artirem")),
    # Not the contrast of an image: "high contrast", "MT contrast".
    ("contrast", r"(?<!high )(?<!low )(?<!mt )(?<!transfer )(?<!tissue )(?<!phase )(?<!image )"
                 + alone(r"contrast\w*", r"[kc]ontras\w*", "contr", "kontr")),
    ("CE", alone("ce", "t1w?ce", "enh", r"enhanc\w*", "w ?/ ?c", "w c", "wcon", "wc")),
    ("T1c", r"t1 ?w?c(?![a-z0-9])"),
    ("PC", alone("pc")),
    ("KM", alone("[np]?km", "k m", "mkm", "kmg")),
    ("après injection", alone(r"(?:apres|avec) (?:inj\w*|iv|gd|c)", r"inj\w*", "pdc", "apc", "apres")),
    ("con contraste", alone("con cte", "c ?/ ?c", "civ", "apos (?:c|gd)")),
    ("mdc", alone("c?m ?d ?c", "dopo")),
    ("po kontraście", alone("po k", r"po kontr\w*", r"z kontr\w*", "po podaniu", "[sp]o? k ?l")),
    ("kontrastlı", (r"kontrast ?li|kontrast sonrasi|контраст\w*"
                   r"|(?<![а-я])(?:после|с|з) (?:к[ув]|введен\w*|гд|гад\w*)|постконтраст\w*")),
    ("造影", r"造影|增强|增強|强化|强后|(?:注药|打药|注射)后|조영"),
    ("con", r"(?<![a-z])(?:con|avec|mit|med)(?= (?:fs|fat ?sat|spir|spair)$|$)"),
)

# What stands beside words about contrast and says nothing alone: left out where names are compared.
CONTRAST_FILLERS = words(
    ("filler", alone(
        "nach", "mit", "vor", "ohne", "gabe", "apres", "avec", "avant", "con", "sin", "tras", "despues", "de", "dopo",
        "prima", "senza", "com", "sem", "apos", "na", "met", "voor", "zonder", "efter", "med", "fore", "po", "przed",
        "bez", "after", "before", "with", "without", "c?iv", "ev", "inj", "cu", "dengan", "setelah", "w ?/?")
        + "|(?<![а-яіα-ω])(?:после|до|с|з|без|ку|μετα)(?![а-яіα-ω])|扫描|증강|전|후|前|后|後"),
)

# ---------------------------------------------------------------- none of the four

# The first match names the reason, so the more telling words stand first.
EXCLUDED_WORDS = words(
    ("screenshot", alone(r"screen ?s\w*", "capture", "snap ?shot", "key ?images?", r"phoenix\w*", "summary")),
    ("localizer", alone(
        "locs?", r"locali[sz]\w*", r"lokali[sz]\w*", "scouts?", r"survey\w*", "surv", r"topogram\w*", r"pilot\w*",
        r"aa ?head\w*", r"aa ?h?scout\w*", r"auto ?align\w*", "smart ?brain", r"3 ?pl\w*", "3p", r"tri ?plan\w*",
        r"reper\w*", "plan ?scan", r"pozycjon\w*", "locator", r"scano(?:gram)?s?", r"planner\w*", "positioning")
        + "|位置決め|定位|локалайз|обзор|топограм"),
    ("calibration scan", alone(
        "cal", r"calib\w*", r"(?:sense|asset|coil) ?(?:ref\w*|survey|cal\w*)", "ref ?scan", r"shim\w*")),
    ("field map", alone(r"field ?map\w*", r"(?:tfl ?)?b[01] ?map\w*", r"gre ?field\w*")),
    ("subtraction", alone(r"subs?(?! ?\d)", r"su[bs]s?tra?\w*", r"soustr\w*", r"sottr\w*")),
    ("maximum intensity projection", alone("mips?", "mi?nip", "max ?ip", "thin ?mip", "proj(?:ections?)?")),
    ("apparent diffusion coefficient", alone(
        "[de]?adc", "e ?adc", r"dapp?ar\w*", "average dc", r"(?:exponential )?apparent\w*")),
    ("diffusion", alone(
        "dwi?", "dti", "dsi", "hardi", "noddi", "diff", r"diffu\w*", r"dyfuz\w*", r"difu[sz]\w*", r"trace\w*",
        "resolve", r"tensor\w*", r"b ?[1-9]\d{2,3}", "dwibs", "colfa", "fa ?map", "isodwi", "ivim", "dki")
        + "|拡散|弥散|彌散|扩散|диффуз"),
    ("arterial spin labelling", alone("asl", "p?c?asl", "pc asl")),
    ("perfusion", alone(
        r"perf\w*", "pwi", "dsc", "dce", "r?cb[fv]", "mtt", "ttp", "tmax", "ktrans", "[gp]bp") + "|灌注|灌流"),
    ("functional MRI", alone("f ?mri", r"\w*bold", "rest", "rsfmri", r"resting\w*", "epi", "ge ?epi", r"task\w*")),
    ("spectroscopy", alone("mrsi?", "svs", "csi", r"e?spe[ck]tro\w*")),
    ("susceptibility weighting", alone(
        r"swi\w*", "e?swan", "swip", r"suscept\w*", "veno ?bold", "qsm", "pha images?", "mag images?",
        "filt ?pha", "basg", "bsi", "[sr]?wan", "fsbb")),
    ("T2*", r"t2w? ?\*(?!\*)|t2 ?star|" + alone(
        "t2s", r"h[ae]{1,2}mo\w*", "medic", "merge", "me?gre", "ffe t2", "gre t2")),
    ("T2*", r"t2w?.*" + alone("gre", "ffe", "fl[23]d", "flash", "ge2d", "eg", r"gradient\w*")),
    ("angiography", alone(
        "mr[av]", "mrag", r"(?:3d)?tof\w*", r"angio\w*", r"[vw]eno\w*", "venc", "[23]dpca?", "pca", "pc[23]d", "cow",
        "twist", "tricks", "inhance", "phase ?contrast", "q ?flow", "arteries") + "|血管|ангио"),
    ("balanced steady state", alone("b ?[ft]fe", "balanced", "ciss", r"fiesta\w*", r"tru?e? ?fi\w*", "ssfp")),
    ("parameter map", alone(r"t[12] ?maps?\w*", "q?maps?", r"relaxo\w*", "t1 ?rho", "mtr", r"aptw?")),
    ("part of MP2RAGE", alone("inv ?[12]", "uni", "uni images?")),
    ("double inversion recovery", alone("dir")),
    ("STIR", alone(r"stir\w*")),
    ("dynamic series", alone("dyn", r"dynami\w*", "dynamik", "fldyn", "twist", "tricks", "disco", "multi ?phase")),
    ("fat or opposed-phase image", alone(r"opp\w*", "out ?of ?phase", "fat ?only", "dixon f")),
    ("fused image", alone(r"fus\w*", r"overlay\w*", r"colou?r\w*")),
    ("result of a program", alone(
        "results?", r"synthetic\w*", r"syn?mri?\w*", r"syn?maps?", "magic", r"oncology", r"segment\w*")),
)
# An acquisition made again because the first failed, most often by motion.
REPEAT_WORDS = words(
    ("repeated", alone(
        "rpt", r"repeat\w*", "wdh", r"wiederh\w*", "nochmal", "again", "redo", r"re ?scan", r"repet\w*",
        r"ripet\w*", r"motion", r"powt\w*", r"tekrar\w*", "bis", r"herhal\w*") + "|повтор|重复|再扫|再撮"),
)
# Scanned once more some minutes after the injection.
LATE_WORDS = words(
    ("late", alone("late", r"delay\w*", r"tard\w*", "spat", r"verzog\w*", r"gec", r"poz(?:no|ny)\w*") + "|延迟|遅延"),
)
# Only an injection explains these; "perfusion" alone may be spin labelling, which needs none.
BOLUS_WORDS = words(
    ("bolus perfusion", alone("dsc", "dce", "r?cbv", "mtt", "ttp", "tmax", "ktrans", "gbp", "ep2d ?perf")),
)
SPIN_LABEL_WORDS = words(("arterial spin labelling", r"(?<![a-z])p?c?asl|spin ?lab"))
REFORMAT_WORDS = words(("reformat", alone("mprs?", r"reform\w*", "rfmt", "curved", r"recon\w*")))

# A part of the head only: not excluded, but never sure.
LOCAL_WORDS = words(
    ("a part of the head", alone(
        r"orbit\w*", "sella", "sellar?", r"hypoph\w*", "hyp", r"pituit\w*", r"ipofis\w*", r"hipofis\w*",
        "ia[cm]s?", "cpa", "khbw", "kbw", r"felsenb\w*", "petrous", "rochers?", r"cavern\w*", "tmj", "sinus(?:es)?",
        r"optic\w*", "internal auditory")),
)
# fmt: on
