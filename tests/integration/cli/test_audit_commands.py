"""`bt-node audit` as a data protection officer uses it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from node_bench import Bench
from sqlalchemy import text
from typer.testing import CliRunner, Result

from bt_node.cli.main import app
from bt_node.domain.audit import AuditEvent
from bt_node.domain.errors import SyslogError
from bt_node.jobs.database import make_engine


@pytest.fixture
def audit(bench: Bench, tmp_path: Path):
    """Run `bt-node audit …` on a job book with one study."""
    job_id = bench.make_ready()
    bench.book.cancel(job_id, "cli:ann")
    config = tmp_path / "config.toml"
    config.write_text(f'[database]\nurl = "{bench.url}"\n')

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["--config", str(config), "audit", *arguments])

    return run


def test_the_list_says_who_decided_what_and_that_it_was_read(audit):
    (decided, read) = json.loads(audit("list", "--json").stdout)
    assert (decided["event"], decided["actor"], decided["detail"]) == ("person-decided", "cli:ann", "cancel")
    assert read["event"] == "audit-trail-read"
    assert "cancel" in audit("list").stdout


def test_a_person_who_has_the_headers_read_is_told_of(audit, bench: Bench, tmp_path: Path):
    CliRunner().invoke(app, ["--config", str(tmp_path / "config.toml"), "jobs", "explain", "1"])
    read = bench.book.latest_audit_entries(1)[0].record
    assert (read.event, dict(read.studies)) == (AuditEvent.ACCESSED, {"1.2.3": 1})
    assert read.actor.startswith("cli:")


def test_a_whole_trail_is_said_to_be_whole_and_gives_its_anchor(audit):
    done = audit("verify")
    assert done.exit_code == 0
    assert "1 entries, whole and unchanged" in done.stdout
    anchor = done.stdout.split("anchor ")[1].strip()
    assert audit("verify", "--anchor", anchor).exit_code == 0
    assert audit("verify", "--anchor", "1:00").exit_code == 1
    assert audit("verify", "--anchor", "x").exit_code == 2


def test_a_changed_trail_is_found(audit, bench: Bench):
    engine = make_engine(bench.url)
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER audit_trail_no_update"))
        connection.execute(text("UPDATE audit_trail SET entry = replace(entry, 'cli:ann', 'cli:eve')"))
    engine.dispose()
    done = audit("verify")
    assert done.exit_code == 1
    assert "WRONG: entry 1 was changed" in done.stdout


def test_the_export_is_one_message_a_line(audit):
    lines = audit("export").stdout.strip().splitlines()
    assert [ET.fromstring(line).tag for line in lines] == ["AuditMessage"] * 2


def test_a_timer_gets_only_what_is_new(audit, bench: Bench, tmp_path: Path):
    file = tmp_path / "trail.xml"

    def lines_after_a_run() -> int:
        assert audit("export", "--new", "--output", str(file)).exit_code == 0
        return len(file.read_text().splitlines())

    assert [lines_after_a_run(), lines_after_a_run()] == [1, 1]
    bench.book.retry(1, "cli:ann")
    assert lines_after_a_run() == 2


def test_syslog_gets_each_entry_once_and_what_failed_is_sent_next_time(audit, bench: Bench):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(10)
        url = f"udp://127.0.0.1:{collector.getsockname()[1]}"
        assert audit("export", "--new", "--syslog", url).exit_code == 0
        assert b"DICOM+RFC3881" in collector.recv(65536)
    closed = audit("export", "--new", "--syslog", "tls://127.0.0.1:1", "--ca", "/nowhere/ca.pem")
    assert closed.exit_code != 0
    refused = audit("export", "--new", "--syslog", "tls://127.0.0.1:1")
    assert isinstance(refused.exception, SyslogError)
    assert bench.book.exported_until("tls://127.0.0.1:1") == 0
    assert bench.book.exported_until(url) == 1


def test_a_wrong_receiver_is_refused(audit):
    assert audit("export", "--syslog", "http://x").exit_code == 2


def test_whatever_stands_in_an_old_entry_the_export_is_well_formed(audit, bench: Bench, tmp_path: Path):
    bench.book.retry(1, "cli:\x1b[2J\x01")
    file = tmp_path / "trail.xml"
    assert audit("export", "--output", str(file)).exit_code == 0
    assert len([ET.fromstring(line) for line in file.read_text().splitlines()]) == 3


def test_the_person_is_the_account_and_not_a_variable(audit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOGNAME", "dr.innocent\x1b[2J")
    audit("list")
    assert "dr.innocent" not in audit("list", "--json").stdout
