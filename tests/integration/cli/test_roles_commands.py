"""`jobs explain`, `jobs assign` and `series explain`, as a person types them, on files in a spool."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dicom_builder import STUDY_UID, oblique_grid, ramp_volume, write_series
from node_bench import Bench
from typer.testing import CliRunner

from bt_node.cli.main import app
from bt_node.domain.errors import AssignmentRefusedError, NoDicomError
from bt_node.domain.receipt import ReceivedInstance
from bt_node.domain.states import JobState
from bt_node.jobs import RunRecord
from bt_node.receive.spool import instance_path

SECRET = "DoeJane1970"
VOLUME = ramp_volume(oblique_grid((20, 8, 8), spacing=(20.0, 20.0, 6.0)))
LOWER = ramp_volume(oblique_grid((20, 8, 8), spacing=(20.0, 20.0, 6.0), origin=(-41.3, -52.7, -98.9)))
SPIN_ECHO = {"EchoTime": "12", "RepetitionTime": "550", "ScanningSequence": "SE"}
INVERTED = {"EchoTime": "120", "RepetitionTime": "9000", "InversionTime": "2500", "ScanningSequence": ["SE", "IR"]}
SERIES: tuple[tuple[int, str, dict[str, Any]], ...] = (
    (1, f"T1 nativ {SECRET}", {**SPIN_ECHO, "AcquisitionTime": "100000"}),
    (2, f"FLAIR {SECRET}", {**INVERTED, "AcquisitionTime": "100500"}),
    (3, f"FLAIR {SECRET}", {**INVERTED, "AcquisitionTime": "101000"}),
    (4, f"T1 KM {SECRET}", {**SPIN_ECHO, "AcquisitionTime": "101500"}),
)
OTHER_SLAB = 3  # two slabs of one head do not serve equally


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("study")
    for number, description, facts in SERIES:
        volume = LOWER if number == OTHER_SLAB else VOLUME
        write_series(made, volume, series_number=number, SeriesDescription=description, PatientName=SECRET, **facts)
    (made / "notes.txt").write_text("nothing")
    return made


@pytest.fixture
def held_job(bench: Bench, folder: Path, tmp_path: Path) -> tuple[int, Path]:
    """A job HELD because FLAIR was taken twice, of two slabs, and the node's configuration."""
    for path in sorted(folder.glob("*.dcm")):
        ds, content = pydicom.dcmread(path, stop_before_pixels=True), path.read_bytes()
        place = instance_path(STUDY_UID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
        bench.spool.write(place, [content])
        bench.book.record_instance(
            ReceivedInstance(
                sop_instance_uid=str(ds.SOPInstanceUID),
                sop_class_uid=str(ds.SOPClassUID),
                study_instance_uid=STUDY_UID,
                series_instance_uid=str(ds.SeriesInstanceUID),
                transfer_syntax_uid="1.2.840.10008.1.2.1",
                path=place,
                size_bytes=len(content),
                digest=hashlib.sha256(content).hexdigest(),
                calling_ae_title="PACS",
                is_image=True,
            ),
            "",
        )
    (job_id,) = bench.book.sweep_complete(0.0, 300.0)
    job = bench.book.claim("worker", 60)
    kept = {"role": "T1", "series_number": 1, "series_instance_uid": "1.2", "reason": "the stored reason"}
    image = {"opinion": "contradicts", "why": "fluid is bright in it alone", "numbers": {"fluid_ml": 97.5}}
    record = RunRecord(roles=[kept | {"certainty": "sure", "doubts": [], "image": image}])
    bench.book.finish(job_id, job.token, JobState.HELD, "roles-ambiguous", "two FLAIR", record)
    config = tmp_path / "config.toml"
    config.write_text(f'[storage]\nspool = "{bench.spool.root}"\n[database]\nurl = "{bench.url}"\n')
    return job_id, config


def run(config: Path | None, arguments: Sequence[object]) -> str:
    before = ["--config", str(config)] if config else []
    ran = CliRunner().invoke(app, [*before, *map(str, arguments)], catch_exceptions=True)
    if ran.exception and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran.output


def test_a_folder_is_explained_without_job_and_without_free_text(folder: Path) -> None:
    shown = run(None, ["series", "explain", folder, "--json"])
    (explained,) = json.loads(shown)["studies"]
    certainties = {role: facts["certainty"] for role, facts in explained["roles"].items()}
    assert certainties == {"T1": "sure", "T1C": "sure", "T2": "missing", "FLAIR": "ambiguous"}
    assert [entry["place"] for entry in explained["roles"]["FLAIR"]["candidates"]] == [1, 1]
    assert "description says KM" in explained["roles"]["T1C"]["candidates"][0]["reason"]
    assert json.loads(shown)["other_files"] == 1
    for output in (shown, run(None, ["series", "explain", folder])):
        assert SECRET.lower() not in output.lower()


def test_a_folder_without_dicom_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(NoDicomError, match="1 other files"):
        run(None, ["series", "explain", tmp_path])


def test_the_rules_of_the_site_are_named_where_they_matched(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "site.toml"
    config.write_text('[[roles.rules]]\nname = "second FLAIR"\nmatch = { ti_ms = [2400, 2600] }\nexclude = true\n')
    (explained,) = json.loads(run(config, ["series", "explain", folder, "--json"]))["studies"]
    assert [entry["reason"] for entry in explained["set_aside"]] == ['rule "second FLAIR"'] * 2


def test_what_the_images_said_stands_beside_the_ranking(held_job: tuple[int, Path]) -> None:
    job_id, config = held_job
    (said,) = json.loads(run(config, ["jobs", "explain", job_id, "--json"]))["images"]
    assert (said["role"], said["series_number"], said["opinion"]) == ("T1", 1, "contradicts")
    printed = run(config, ["jobs", "explain", job_id])
    assert "What the images of the last run say" in printed
    assert "contradicts" in printed
    assert "97.5" in printed


def test_a_held_job_is_explained_decided_and_explained_again(held_job: tuple[int, Path], bench: Bench) -> None:
    job_id, config = held_job
    asked = json.loads(run(config, ["jobs", "explain", job_id, "--json"]))
    assert asked["source"] == "headers"
    assert len(asked["roles"]["FLAIR"]["a_person_must_choose_from"]) == 2
    assert "READY" in run(config, ["jobs", "assign", job_id, "--flair", 3])
    view = bench.book.view(job_id)
    assert view["state"] == "READY"
    assert view["history"][-1]["actor"].startswith("cli:")
    decided = json.loads(run(config, ["jobs", "explain", job_id, "--json"]))["roles"]["FLAIR"]
    assert (decided["certainty"], decided["series_number"]) == ("sure", 3)
    assert decided["reason"].startswith(f"assigned by {view['history'][-1]['actor']}")


@pytest.mark.parametrize(
    ("options", "words"), [(["--flair", 9], "no series 9"), (["--t1", 2, "--flair", 2], "named for T1 already")]
)
def test_a_choice_that_cannot_be_is_refused_and_nothing_moves(
    held_job: tuple[int, Path], bench: Bench, options: list[object], words: str
) -> None:
    job_id, config = held_job
    with pytest.raises(AssignmentRefusedError, match=words):
        run(config, ["jobs", "assign", job_id, *options])
    assert bench.book.view(job_id)["state"] == "HELD"
    assert "--clear" in run(config, ["jobs", "assign", job_id])


def test_a_choice_is_withdrawn(held_job: tuple[int, Path], bench: Bench) -> None:
    job_id, config = held_job
    run(config, ["jobs", "assign", job_id, "--flair", 3])
    bench.book.cancel(job_id, "test")
    run(config, ["jobs", "assign", job_id, "--clear"])
    assert bench.book.view(job_id)["assigned"] == {}


def test_where_files_are_gone_the_stored_reasons_are_shown(held_job: tuple[int, Path], bench: Bench) -> None:
    job_id, config = held_job
    for path in bench.book.instance_paths(job_id).values():
        bench.spool.absolute(path).unlink()
    explained = json.loads(run(config, ["jobs", "explain", job_id, "--json"]))
    assert explained["source"] == "job book"
    assert "not in the spool" in explained["why_not_headers"]
    assert explained["roles"]["T1"]["reason"] == "the stored reason"
    assert "the last run stored" in run(config, ["jobs", "explain", job_id])
