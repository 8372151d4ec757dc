"""Is a quiet study complete? Facts in, decision out; nobody is asked and nothing is read here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bt_node.domain.completeness import KnownGaps, Shortfall, SourceSeries
from bt_node.domain.role import Role

_MOST_NAMED = 20  # series in one sentence: a source may name thousands


@dataclass(frozen=True)
class Rules:
    """The site's [completeness].

    Attributes:
        wait_s: seconds after the last image for which what lacks is waited for.
        expect_whole_study: whether series of which nothing arrived are waited for.
    """

    wait_s: float = 600.0
    expect_whole_study: bool = True


@dataclass(frozen=True)
class Known:
    """What is known of a study that is quiet and that no association has open.

    Attributes:
        images: number of its images that arrived.
        quiet_s: seconds since the last one.
        arrived: SeriesInstanceUID -> instances that arrived.
        source: AE title of the source that was asked; empty when none is configured.
        at_source: what the source has; None as long as it has not answered.
        silent: why its last answer failed; empty when it did not.
        ask_again: whether a silent source is to be asked again before the study goes on.
        found: roles that some series has, or that a person must choose a series for.
        missing: roles without any series.
        slice_gaps: one sentence for each series with a role in which slices lack.
    """

    images: int
    quiet_s: float
    arrived: Mapping[str, int]
    source: str = ""
    at_source: tuple[SourceSeries, ...] | None = None
    silent: str = ""
    ask_again: bool = False
    found: tuple[Role, ...] = ()
    missing: tuple[Role, ...] = ()
    slice_gaps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Whether the study goes on.

    Attributes:
        complete: it goes on; otherwise it waits.
        reason: one sentence for history and operator.
        waits_for: what it waits for; empty when it goes on.
        gaps: what is known to lack, for the result.
    """

    complete: bool
    reason: str
    waits_for: tuple[str, ...] = ()
    gaps: KnownGaps = field(default_factory=KnownGaps)


def decide(known: Known, rules: Rules) -> Verdict:
    """Decide about one quiet study; see docs/completeness.md for the order of the evidence."""
    gaps = _gaps(known, rules)
    lacks = tuple(_lacks(known, gaps, rules))
    if known.ask_again:
        waits_for = (f"an answer of {known.source} ({known.silent})", *lacks)
        return Verdict(False, f"waits for {'; '.join(waits_for)}", waits_for, gaps)
    if lacks and known.quiet_s < rules.wait_s:
        return Verdict(False, f"waits for {'; '.join(lacks)}", lacks, gaps)
    said = (
        f"quiet for {known.quiet_s:.0f} s with {known.images} images",
        *_sequences(known),
        *_source(known, gaps),
        *((f"waited in vain for {'; '.join(lacks)}",) if lacks else ()),
    )
    return Verdict(True, "; ".join(said), (), gaps)


def _gaps(known: Known, rules: Rules) -> KnownGaps:
    lacking = [
        Shortfall(series.series_instance_uid, series.series_number, series.instances, arrived)
        for series in known.at_source or ()
        if series.may_hold_images
        and series.instances is not None
        and (arrived := known.arrived.get(series.series_instance_uid, 0)) < series.instances
    ]
    return KnownGaps(
        source=known.source,
        short=tuple(short for short in lacking if short.arrived),
        unsent=tuple(short for short in lacking if not short.arrived),
        unsent_expected=rules.expect_whole_study,
        silent=known.silent if known.at_source is None else "",
    )


def _lacks(known: Known, gaps: KnownGaps, rules: Rules) -> Iterator[str]:
    """What is worth waiting for, each as the end of "waits for …"."""
    expected = (*gaps.short, *(gaps.unsent if rules.expect_whole_study else ()))
    for short in expected[:_MOST_NAMED]:
        yield f"{known.source} to send {short}"
    if len(expected) > _MOST_NAMED:
        yield f"{len(expected) - _MOST_NAMED} more series of {known.source}"
    # A source that has sent all it has cannot send the rest: nobody has it.
    if expected or not _all_arrived(known, gaps, rules):
        if known.found and known.missing:
            yield f"{' and '.join(known.missing)}, which no series is"
        yield from known.slice_gaps


def _all_arrived(known: Known, gaps: KnownGaps, rules: Rules) -> bool:
    images = [series for series in known.at_source or () if series.may_hold_images]
    counted = bool(images) and all(series.instances is not None for series in images)
    # Where the source sends a selection, what it has kept back may still be the missing sequence.
    return counted and not gaps.short and (rules.expect_whole_study or not gaps.unsent)


def _sequences(known: Known) -> Iterator[str]:
    if known.found:
        yield f"{', '.join(known.found)} found"
    if known.missing:
        yield f"{', '.join(known.missing)} missing"


def _source(known: Known, gaps: KnownGaps) -> Iterator[str]:
    if not known.source:
        return
    if known.at_source is None:
        yield f"{known.source} did not tell what it has ({known.silent}), so quiet time alone decides"
        return
    told = [series for series in known.at_source if series.may_hold_images and series.instances is not None]
    if not told:
        yield f"{known.source} told no number of images, so quiet time alone decides"
    elif not gaps.short and not gaps.unsent:
        yield f"all that {known.source} has in {len(told)} series arrived"
    elif not gaps.short:
        yield f"{known.source} has {len(gaps.unsent)} more series of which nothing arrived"
