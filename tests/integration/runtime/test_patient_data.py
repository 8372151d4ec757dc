"""Jane Doe goes through the whole node, and nothing but the spool and the archive knows who she was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from node_log import node_log
from postgres import PostgresServer, postgres
from sqlalchemy import select
from tiny_models import bright_parts_segmenter, fixed_classifier
from typer.testing import CliRunner

from bt_node.cli.main import app
from bt_node.config import Config, load_config
from bt_node.deliver.folder import send_folder
from bt_node.deliver.peer import Peer
from bt_node.domain.states import JobState
from bt_node.jobs import JobBook, open_book, upgrade_schema
from bt_node.jobs.database import Database
from bt_node.jobs.tables import metadata
from bt_node.pipeline.trip import Models
from bt_node.receive.listener import Listener
from bt_node.receive.spool import Spool
from bt_node.runtime import travel
from bt_node.runtime.alerts import RefusalAlerts
from bt_node.runtime.examining import build_examiner
from bt_node.runtime.housekeeping import Housekeeper
from bt_node.runtime.listener import listener_settings
from bt_node.runtime.runner import StudyRunner
from bt_node.runtime.site_key import site_key
from bt_node.runtime.travel import Trips, node_identity
from bt_node.runtime.worker import build_couriers, build_runner
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.mr_series import Patient
from bt_node.simulate.phantom import PhantomStudy, make_phantom

__all__ = ["postgres"]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

JANE = Patient(name="Doe^Jane", patient_id="H-0815-XZ", birth_date="19610203", sex="F")
# Further header values, each with a word that stands nowhere else.
HEADERS = {
    "AccessionNumber": "ACC4711Q",
    "StudyDescription": "Kopf QUUXLEIN",
    "ReferringPhysicianName": "Housemann^Gregor",
    "OperatorsName": "Opperatti^Olga",
    "PatientComments": "sister of Kaspar Hauserin",
    "PatientAddress": "Wolkenkuckucksheimweg 7",
    "OtherPatientIDs": "OTHER-0816-YY",
    "InstitutionName": "Elsewhereklinik",
    "AdditionalPatientHistory": "Zwiebelallergie",
    "StudyID": "STUDYNO99Z",
}
SECRETS = (
    *("Doe", "Jane", "H-0815", "19610203", "1961-02-03", "ACC4711Q", "QUUXLEIN", "Housemann", "Opperatti"),
    *("Hauserin", "Wolkenkuckucksheim", "OTHER-0816", "Elsewhereklinik", "Zwiebelallergie", "STUDYNO99Z", "XDESCRX"),
)


@pytest.fixture(scope="module")
def jane(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    study = make_phantom(tmp_path_factory.mktemp("scanner"), patient=JANE, coarse=2.0)
    for path in study.folder.rglob("*.dcm"):
        ds = pydicom.dcmread(path)
        for keyword, value in HEADERS.items():
            setattr(ds, keyword, value)
        ds.SeriesDescription = f"{ds.get('SeriesDescription', '')} XDESCRX"
        ds.save_as(path)
    return study


@pytest.fixture(params=["sqlite", "postgresql"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'node' / 'jobs.sqlite'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.create_database("patient_data")
    with FakePacs("ARCHIVE") as pacs:
        made = Node(tmp_path / "node", url, pacs.port)
        yield made
        made.stop()


class Node:
    """Listener, worker and couriers of one node, in this process."""

    def __init__(self, folder: Path, url: str, archive: int) -> None:
        folder.mkdir()
        self.folder, self.config_path = folder, folder / "config.toml"
        self.config_path.touch(mode=0o600)
        self.config_path.write_text(f"""
[listener]
host = "127.0.0.1"
port = 0
[[sources]]
ae_title = "SCANNER"
[[destinations]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = {archive}
proof = "none"
[storage]
spool = "spool"
min_free_mib = 0
[database]
url = "{url}"
[completeness]
quiet_seconds = 0
wait_minutes = 0
[follow_up]
key_file = "follow-up.key"
[models]
folder = "{Path(__file__).resolve().parents[3] / "models"}"
[logging]
level = "DEBUG"
""")
        self.config: Config = load_config(self.config_path, {})
        upgrade_schema(url)
        self.book: JobBook = open_book(url)
        spool = Spool(self.config.storage.spool)
        settings = listener_settings(self.config)
        self.listener = Listener(settings, spool, self.book, RefusalAlerts(self.book, settings.name).refused)
        self.listener.start()
        models = Models(bright_parts_segmenter(), fixed_classifier())
        trips = Trips(models, node_identity(self.config), spool.root, site_key(self.config.follow_up.key_file))
        self.runner: StudyRunner = build_runner(self.config, self.book, spool, trips)
        self.couriers = build_couriers(self.config, self.book, spool)
        examiner = build_examiner(self.config, self.book, spool, models.segmenter.roles)
        self.housekeeper = Housekeeper(self.book, spool, self.config, examiner)

    def receive(self, folder: Path, calling: str = "SCANNER") -> bool:
        return send_folder(Peer("BT_NODE", "127.0.0.1", self.listener.port), calling, folder).all_stored

    def work(self) -> None:
        self.housekeeper.sweep()
        self.housekeeper.complete()
        assert self.runner.run_next()
        for courier in self.couriers:
            courier.deliver_due()

    def stop(self) -> None:
        self.listener.stop()
        self.book.close()

    def command(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, ["--config", str(self.config_path), *arguments])
        return f"{done.output}\n{done.exception!r}"


@pytest.fixture
def log() -> Iterator[Callable[[], str]]:
    """Everything that a service manager would keep of standard error, at DEBUG."""
    with node_log("DEBUG") as written:
        yield written


def told(text: str) -> list[str]:
    # As a word: "does" is not Doe.
    return [each for each in SECRETS if re.search(rf"(?<![a-z]){re.escape(each)}(?![a-z])", text, re.IGNORECASE)]


def rows(url: str) -> str:
    database = Database(url)
    with database.read() as tx:
        found = {table.name: [tuple(row) for row in tx.execute(select(table))] for table in metadata.sorted_tables}
    database.close()
    assert all(found[name] for name in ("jobs", "instances", "history", "results", "remembered", "audit_trail"))
    return repr(found)


def test_nothing_tells_who_she_was(
    node: Node, jane: PhantomStudy, log: Callable[[], str], monkeypatch: pytest.MonkeyPatch, capfd
):
    study = jane.study_instance_uid
    assert not node.receive(jane.folder, calling="STRANGER")
    assert node.receive(jane.folder)
    node.work()
    assert node.book.view(study)["state"] == JobState.DONE

    # Once more, and now a stage fails with an error that quotes what it read, as libraries do.
    one = pydicom.dcmread(next(jane.folder.rglob("*.dcm")), stop_before_pixels=True)

    def quoting(*_: object) -> None:
        patient = one.PatientName
        raise ValueError(f"bad value of {patient}: {one}")

    monkeypatch.setattr(travel, "run_trip", quoting)
    node.book.retry(node.book.view(study)["id"], "cli:ann")
    assert node.runner.run_next()
    assert "ValueError" in node.book.view(study)["reason"] + log()

    said = {
        "log": log(),
        "standard error and output": "".join(capfd.readouterr()),
        "database": rows(node.config.database.url),
        "jobs list": node.command("jobs", "list"),
        "jobs list --json": node.command("jobs", "list", "--json"),
        "jobs show": node.command("jobs", "show", study),
        "jobs show --json": node.command("jobs", "show", study, "--json"),
        "jobs explain": node.command("jobs", "explain", study),
        "series explain": node.command("series", "explain", str(jane.folder)),
        "audit list": node.command("audit", "list", "--json"),
        "audit export": node.command("audit", "export"),
        "check": node.command("check"),
        "a command that fails": node.command("jobs", "assign", study, "--t1c", "99"),
    }
    for place, text in said.items():
        assert len(text) > 40 or place == "standard error and output", f"{place} said nothing"
        assert told(text) == [], place
    _only_the_spool_knows(node.folder)


def _only_the_spool_knows(folder: Path) -> None:
    knows = set()
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        if told(content.decode("latin-1")) or told(path.name):
            knows.add(path.relative_to(folder).parts[0])
    assert knows == {"spool"}
