"""Asking a source how much it has of a study: fake PACS, Orthanc, dcmtk's dcmqrscp, and sources that do not tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dicom_builder import STUDY_UID, oblique_grid, ramp_volume, write_series
from orthanc import OrthancServer
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from bt_node.deliver import association, inquire
from bt_node.deliver.folder import find_files
from bt_node.deliver.inquire import ask_source
from bt_node.deliver.peer import Peer
from bt_node.deliver.send import send
from bt_node.domain.completeness import SourceAnswer
from bt_node.simulate import fake_pacs
from bt_node.simulate.fake_pacs import FakePacs, Faults
from bt_node.simulate.node_process import free_port

ME = "BT_NODE"
SLICES = {7: 4, 9: 6}  # SeriesNumber -> slices


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two MR series of one study."""
    made = tmp_path_factory.mktemp("study")
    for number, slices in SLICES.items():
        write_series(made, ramp_volume(oblique_grid((slices, 8, 8))), series_number=number, PatientName="Doe^Jane")
    return made


@pytest.fixture
def source(pacs: FakePacs, files: Path) -> FakePacs:
    """A fake PACS that has the study."""
    pacs.take(*sorted(files.glob("*.dcm")))
    return pacs


def ask(source: Peer, seconds: float = 10.0) -> SourceAnswer:
    return ask_source(source, ME, STUDY_UID, seconds)


def told(answer: SourceAnswer) -> dict[int | None, int | None]:
    assert answer.trouble == ""
    return {series.series_number: series.instances for series in answer.series}


def test_a_source_tells_the_instances_of_each_series(source: FakePacs, fake_peer: Peer) -> None:
    answer = ask(fake_peer)
    assert told(answer) == SLICES
    assert [series.series_number for series in answer.series] == sorted(SLICES)
    assert source.find_requests == 1
    assert {(series.modality, series.counted) for series in answer.series} == {("MR", False)}


def test_where_it_gives_no_numbers_the_images_are_counted_one_by_one(source: FakePacs, fake_peer: Peer) -> None:
    source.faults = Faults(no_counts=True)
    answer = ask(fake_peer)
    assert told(answer) == SLICES
    assert source.find_requests == 1 + len(SLICES)
    assert all(series.counted for series in answer.series)


def test_a_source_that_knows_nothing_of_the_study_tells_no_series(pacs: FakePacs, fake_peer: Peer) -> None:
    assert ask(fake_peer) == SourceAnswer(pacs.ae_title)


def test_a_source_that_is_down_is_trouble_in_words(pacs: FakePacs, fake_peer: Peer) -> None:
    pacs.stop()
    assert ask(fake_peer).trouble == "connection refused"


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        (Faults(refuse_association=True), "refused: calling AE title not recognised (permanent)"),
        (Faults(refused_sop_classes=frozenset({"1.2.840.10008.5.1.4.1.2.2.1"})), "it does not offer C-FIND"),
        (Faults(find_status=0xA700), "it answered the query with status 0xA700"),
        (Faults(find_status=0xC311, no_counts=True), "it answered the query with status 0xC311"),
    ],
)
def test_a_source_that_does_not_tell_says_why(source: FakePacs, fake_peer: Peer, faults: Faults, words: str) -> None:
    source.faults = faults
    assert ask(fake_peer).trouble.startswith(words)


@pytest.mark.parametrize("each_answer_after", [0.7, 60.0], ids=["trickling", "silent"])
def test_a_source_that_answers_too_slowly_is_left_alone(
    source: FakePacs, fake_peer: Peer, each_answer_after: float
) -> None:
    source.faults = Faults(answer_after_seconds=min(each_answer_after, 3.0))
    started = time.monotonic()
    assert ask(fake_peer, 1.0).trouble == "no full answer within 1 s"
    assert time.monotonic() - started < 20


def test_nobody_asks_about_the_patient(source: FakePacs, fake_peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    assert "Doe" not in str(ask(fake_peer)) + caplog.text


# ---------------------------------------------------------------- answers that are none

SERIES = "1.2.3.4"
TEXT = "1.2\x1b[2J\n2026-11-30 job 7: delivered"


def match(study: str = STUDY_UID, **values: object) -> Dataset:
    answer = Dataset()
    facts = {
        "SeriesInstanceUID": SERIES,
        "SeriesNumber": "7",
        "Modality": "MR",
        "NumberOfSeriesRelatedInstances": "4",
    }
    for keyword, value in {"StudyInstanceUID": study, **facts, **values}.items():
        answer.add(DataElement(tag_for_keyword(keyword), dictionary_VR(keyword), value, validation_mode=IGNORE))
    return answer


@pytest.fixture
def answering(pacs: FakePacs, fake_peer: Peer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SourceAnswer]:
    """What is made of these answers to every query."""

    def make(*answers: Dataset) -> SourceAnswer:
        monkeypatch.setattr(fake_pacs, "matches", lambda *_, **__: iter(answers))
        return ask(fake_peer)

    return make


STRAYS = {
    "another study": match("1.2.3", NumberOfSeriesRelatedInstances="1000000"),
    "a study that is text": match(TEXT),
    "a series that is text": match(SeriesInstanceUID=TEXT),
    "a series that is a path": match(SeriesInstanceUID="../../etc/cron.d/x"),
    "a series of 70 characters": match(SeriesInstanceUID="1." * 34 + "10"),
    "two series": match(SeriesInstanceUID=["1.2.3", "1.2.4"]),
    "an instance that is text": match(SOPInstanceUID=TEXT),
}


@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
def test_an_answer_about_something_else_is_passed_over(answering, stray: Dataset) -> None:
    alone = answering(stray)
    assert (alone.series, alone.trouble) == ((), "what it answered is not about this study")
    beside = answering(stray, match())
    assert [each.series_instance_uid for each in beside.series] == [SERIES]
    assert beside.trouble == ""


@pytest.mark.parametrize("number", ["1000000", "-4", "9" * 12, "1e9"])
def test_a_number_that_no_series_has_is_no_number(answering, number: str) -> None:
    (series,) = answering(match(NumberOfSeriesRelatedInstances=number)).series
    assert series.instances is None


def test_text_for_a_modality_is_none(answering) -> None:
    (series,) = answering(match(Modality=TEXT)).series
    assert series.modality == ""


def test_series_without_end_are_no_answer(answering) -> None:
    answer = answering(*(match(SeriesInstanceUID=f"1.2.{number}") for number in range(2_100)))
    assert answer.series == ()
    assert answer.trouble


def test_an_association_that_brings_too_much_ends(answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(association, "_MOST_RECEIVED", 100_000)
    answer = answering(*(match(SeriesDescription="x" * 10_000) for _ in range(100)))
    assert answer.trouble


def test_what_nobody_foresaw_is_trouble_in_words(answering, monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*_: object) -> None:
        raise IndexError("Doe^Jane")

    monkeypatch.setattr(inquire, "_told", raising)
    assert answering(match()).trouble == "its answer cannot be used (IndexError)"


# ---------------------------------------------------------------- real archives


@pytest.mark.e2e
def test_orthanc_tells_how_much_it_has(orthanc: OrthancServer, files: Path) -> None:
    orthanc.clear()
    orthanc.add_modality(ME, free_port())  # it answers C-FIND to peers that it knows
    for path in files.glob("*.dcm"):
        orthanc.upload(path)
    peer = Peer(orthanc.ae_title, orthanc.host, orthanc.dicom_port)
    assert told(ask(peer)) == SLICES
    assert ask_source(peer, ME, "1.2.3.4", 10.0) == SourceAnswer(orthanc.ae_title)


@pytest.mark.e2e
def test_dcmtks_archive_is_counted_at_image_level(dcmqrscp: Peer, files: Path) -> None:
    assert all(outcome.delivered for outcome in send(dcmqrscp, ME, find_files(files).files, 20.0))
    answer = ask(dcmqrscp)
    assert told(answer) == SLICES
    assert all(series.counted for series in answer.series)
