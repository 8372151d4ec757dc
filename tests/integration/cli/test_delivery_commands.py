"""What a person at the command line sees and does about destinations: `check`, `jobs show`, `jobs priority`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_bench import Bench, bench, encoded
from orthanc import OrthancServer, orthanc
from typer.testing import CliRunner

from bt_node.cli.main import app
from bt_node.config import Config
from bt_node.domain.states import JobState
from bt_node.jobs import RunRecord, StoredResult
from bt_node.runtime.health import run_checks
from bt_node.runtime.worker import build_couriers
from bt_node.simulate.fake_commitment import Commitment
from bt_node.simulate.fake_pacs import FakePacs, Faults

__all__ = ["bench", "orthanc"]


@pytest.fixture
def pacs() -> Iterator[FakePacs]:
    with FakePacs() as running:
        yield running


@pytest.fixture
def job(bench: Bench) -> int:
    """A job with one result for "pacs"."""
    bench.make_ready()
    claimed = bench.book.claim("test", 30.0)
    assert claimed is not None
    item = encoded(1)
    path = bench.spool.store_result(claimed.id, item.sop_instance_uid, item.content)
    bench.book.publish(claimed.id, claimed.token, RunRecord(), [StoredResult.of(item, path, "00")], ("pacs",))
    return claimed.id


def run(bench: Bench, tmp_path: Path, *words: str):
    file = tmp_path / "config.toml"
    file.write_text(f'[database]\nurl = "{bench.url}"\n')
    return CliRunner().invoke(app, ["--config", str(file), *words])


def test_a_person_makes_a_study_urgent_and_routine_again(bench: Bench, job: int, tmp_path: Path) -> None:
    assert run(bench, tmp_path, "jobs", "priority", str(job), "stat").output == f"Job {job} is stat.\n"
    told = json.loads(run(bench, tmp_path, "jobs", "priority", str(job), "high", "--json").stdout)
    assert told["priority"] == 1
    assert run(bench, tmp_path, "jobs", "priority", str(job), "routine").exit_code == 0
    assert bench.book.view(job)["priority"] == 0
    assert run(bench, tmp_path, "jobs", "priority", str(job), "soon").exit_code == 2


def test_jobs_show_says_whose_word_is_awaited(
    bench: Bench, job: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    with bench.book._database.write() as tx:
        from sqlalchemy import text

        tx.execute(text("UPDATE deliveries SET state = 'SENT', detail = 'acknowledged; not found by C-FIND'"))
    said = run(bench, tmp_path, "jobs", "show", str(job)).output
    assert "waiting for: pacs to confirm 1 object(s), asked again in 0 s (acknowledged; not found by C-FIND)" in said


def test_a_person_sees_what_waits_for_a_destination_that_is_not_configured(
    bench: Bench, job: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    why = "destination pacs is not configured on this worker"
    assert why in run(bench, tmp_path, "jobs", "show", str(job)).output
    assert f"1 job(s) wait: {why}" in run(bench, tmp_path, "jobs", "list").output


def checked(bench: Bench, **destination: object):
    settings = {"database": {"url": bench.url}, "storage": {"spool": str(bench.spool.root)}}
    config = Config.model_validate({**settings, "destinations": [{"name": "pacs", **destination}]})
    (result,) = (result for result in run_checks(config) if result.name == "destination pacs")
    return result


@pytest.mark.parametrize(
    ("proof", "faults", "ok", "words"),
    [
        ("auto", Faults(commitment=Commitment()), True, "answered; proof by commitment"),
        ("auto", Faults(), True, "answered; proof by query"),
        ("auto", Faults(no_find=True), True, "it offers no proof, results will be unproven"),
        ("commitment", Faults(), False, 'but proof = "commitment" is not offered'),
        ("query", Faults(), True, "proof by query"),
        ("none", Faults(), True, "answered"),
    ],
)
def test_check_says_whether_a_destination_can_prove_what_is_asked_of_it(
    bench: Bench, pacs: FakePacs, proof: str, faults: Faults, ok: bool, words: str
) -> None:
    pacs.faults = faults
    result = checked(bench, ae_title="FAKE_PACS", host="127.0.0.1", port=pacs.port, proof=proof)
    assert result.ok is ok
    assert result.detail.endswith(words)


@pytest.mark.e2e
def test_a_dicomweb_destination_from_the_configuration_to_done(bench: Bench, orthanc: OrthancServer) -> None:
    orthanc.clear()
    url = orthanc.dicomweb_url.rstrip("/")
    assert checked(bench, url=url).detail == f"{url}: answered; proof by query"
    assert checked(bench, url=f"{orthanc.url}nothing-here").ok is False
    job = _publish_real(bench)
    config = Config.model_validate({"database": {"url": bench.url}, "destinations": [{"name": "pacs", "url": url}]})
    (courier,) = build_couriers(config, bench.book, bench.spool)
    assert courier.deliver_due() == 1
    view = bench.book.view(job)
    assert view["state"] == JobState.DONE
    assert view["results"][0]["destinations"]["pacs"]["detail"] == "kept: found by QIDO-RS"
    assert orthanc.sop_instance_uids() == {"2.25.5"}


def _publish_real(bench: Bench) -> int:
    from hashlib import sha256
    from io import BytesIO

    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    from bt_node.domain.result import EncodedObject, ResultKind

    study = bench.receive().study_instance_uid
    (job_id,) = bench.book.sweep_complete(0.0, 300.0)
    claimed = bench.book.claim("test", 30.0)
    assert claimed is not None
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.34", "2.25.5"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = study, "2.25.6", "SR"
    dataset.PatientName, dataset.PatientID = "PHANTOM", "0"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    content = buffer.getvalue()
    path = bench.spool.store_result(job_id, "2.25.5", content)
    item = EncodedObject(ResultKind.SR, dataset.SOPClassUID, "2.25.5", "2.25.6", 9101, content)
    bench.book.publish(
        claimed.id, claimed.token, RunRecord(), [StoredResult.of(item, path, sha256(content).hexdigest())], ("pacs",)
    )
    return job_id
