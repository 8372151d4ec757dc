"""Sentences and titles that every object of this node carries."""

from __future__ import annotations

from collections.abc import Sequence

from bt_node.domain.result import ResultKind
from bt_node.domain.tumour import TYPE_WORDS, Findings, SliceAnswer, SliceBasis, TumourType, TumourTypeFinding
from bt_node.encode.request import EncodeRequest

_LONG_STRING = 64  # characters of VR LO, PS3.5 Table 6.2-1
_SHORT_TITLE = {
    ResultKind.SEG: "AI tumour SEG",
    ResultKind.SEG_DERIVED: "AI TC+WT SEG",
    ResultKind.SR: "AI tumour SR",
}
_WHOLE_TITLE = "AI WT SEG"
# On a further series the sequence is named; 13 characters are left beside the words that must stand there.
_FURTHER_TITLE = {ResultKind.SEG: "AI SEG {}", ResultKind.SEG_DERIVED: "TC+WT {}"}
_FURTHER_WHOLE_TITLE = "AI WT {}"
_NOT_FOR_DIAGNOSIS = "for research use only, not for diagnosis"
NO_FRAME_OF_REFERENCE = (
    "The source series names no Frame of Reference: the segmentations name one of their own, and some viewers may "
    "not lay them over the images."
)
REPLACES_EARLIER_REPORT = (
    "This report replaces an earlier one of this study, which rested on other images, models, software or "
    "arithmetic; see Predecessor Documents."
)
_NO_CLASSIFIER = "no classifier was used"
NOT_ANSWERED_TITLE = f"AI, not answered: {_NOT_FOR_DIAGNOSIS}"
DISCLAIMER = "For research use only, not for diagnosis. Made by software; not reviewed by a physician."


def drawn_again(sequence: str) -> str:
    """The remark that the outline also lies on another series."""
    return (
        f"The outline is drawn on the {sequence} series as well; sizes in this report are those on the first series."
    )


def series_description(
    kind: ResultKind, cautions: Sequence[str], *, whole_alone: bool = False, sequence: str = ""
) -> str:
    """SeriesDescription (LO, 64 characters): what it is, that it is research, and whether there are cautions.

    Args:
        kind: which object.
        cautions: those of the findings.
        whole_alone: whether a derived SEG holds the whole tumour only.
        sequence: the sequence that a further SEG lies on; empty for the one that counts.
    """
    whole = whole_alone and kind is ResultKind.SEG_DERIVED
    if sequence:
        title = (_FURTHER_WHOLE_TITLE if whole else _FURTHER_TITLE[kind]).format(sequence)
    else:
        title = _WHOLE_TITLE if whole else _SHORT_TITLE[kind]
    return f"{'CAUTION, ' if cautions else ''}{title}: {_NOT_FOR_DIAGNOSIS}"


def long_string(text: str) -> str:
    """`text` as a valid LO value: ASCII (the source decides the character set), no backslash, 64 characters."""
    return plain(text).replace("\\", "/")[:_LONG_STRING]


def plain(text: str) -> str:
    """`text` in ASCII, which every SpecificCharacterSet can hold; other characters become question marks."""
    return text.encode("ascii", "replace").decode("ascii")


def comments(request: EncodeRequest, remarks: Sequence[str] = ()) -> tuple[str, ...]:
    """Free text of the report: disclaimer, cautions, remarks on the encoding, probabilities, models."""
    return tuple(
        plain(text)
        for text in (
            DISCLAIMER,
            *(f"CAUTION: {caution}" for caution in request.findings.cautions),
            *remarks,
            *_tumour_type(request.findings),
            f"Outline by {_release_words(request)}.",
        )
    )


def _tumour_type(findings: Findings) -> tuple[str, ...]:
    finding = findings.tumour_type
    if finding is None:
        why = f"not assessed, because {findings.no_type_because}" if findings.no_type_because else _NO_CLASSIFIER
        return (f"Tumour type: {why}.",)
    release = finding.release
    by = f"By {release.name} {release.version}, weights SHA-256 {release.weights_sha256}."
    told = f"over {finding.slices_used} slices{_chosen(finding)}: {_shares(findings, finding)}. {by}"
    if not findings.tumour_outlined:
        return (f"Tumour type probabilities {told}", *_slice_by_slice(finding))
    given = f"Tumour type, given that what is outlined is a tumour, {told}"
    doubt = "" if finding.names_type else f" Indeterminate: a type is named from {_percent(finding)} on."
    return (f"{given}{doubt}", *_slice_by_slice(finding, given_tumour=True))


def _shares(findings: Findings, finding: TumourTypeFinding) -> str:
    """An outline answers whether there is a tumour: then the types share the whole."""
    shares = finding.given_tumour if findings.tumour_outlined else finding.probabilities
    return ", ".join(f"{TYPE_WORDS[kind]} {100 * shares[kind]:.1f} %" for kind in TumourType if kind in shares)


def _percent(finding: TumourTypeFinding) -> str:
    return f"{100 * finding.least_probability:.0f} %"


def _chosen(finding: TumourTypeFinding) -> str:
    if finding.basis is SliceBasis.GIVEN:
        return ""
    weighted = "" if finding.basis is SliceBasis.SPREAD else ", weighted by its area"
    return f" {finding.basis.value}{weighted}"


def _slice_by_slice(finding: TumourTypeFinding, *, given_tumour: bool = False) -> tuple[str, ...]:
    """Which slices, and what each would say alone: a mean hides whether they agree."""
    placed = [each for each in finding.slices if each.level_mm is not None]
    if not placed:
        return ()
    said = ", ".join(f"{each.level_mm:.0f} mm {_said(each, given_tumour=given_tumour)}" for each in placed)
    given = ", given a tumour" if given_tumour else ""
    return (f"Axial slices by patient height (z), and what each says alone{given}: {said}.",)


def _said(each: SliceAnswer, *, given_tumour: bool) -> str:
    if given_tumour and each.tumour_top is not None:
        return f"{TYPE_WORDS[each.tumour_top]} {100 * each.tumour_certainty:.0f} %"
    return f"{TYPE_WORDS[each.top]} {100 * each.certainty:.0f} %"


def _release_words(request: EncodeRequest) -> str:
    release = request.findings.segmenter
    return f"{release.name} {release.version}, weights SHA-256 {release.weights_sha256}"
