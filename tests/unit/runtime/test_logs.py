"""The log: one printable line an event, nothing of what libraries quote, repeats counted."""

from __future__ import annotations

import logging
import threading
import warnings

import pytest
from node_log import node_log

from bt_node.domain.text import one_line, visible

FORGED = "1.2\n2026-11-30 22:00:00,000 INFO    bt_node.runtime.courier: job 7: delivered"
STEERING = "".join(
    map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), 0x2066, 0xFEFF))
)


def test_a_record_is_one_line_whatever_a_peer_calls_itself() -> None:
    with node_log() as log:
        logging.getLogger("bt_node.receive").warning("association from %s rejected", FORGED + STEERING)
    lines = log().split("\n")
    assert len(lines) == 2
    assert lines[1] == ""
    assert lines[0].isprintable()
    assert r"1.2\n2026" in lines[0]
    assert r"\x1b" in lines[0]
    assert r"\u2028" in lines[0]
    assert r"\u202e" in lines[0]


def test_surrogates_and_broken_arguments_do_not_lose_the_line(capfd: pytest.CaptureFixture[str]) -> None:
    with node_log() as log:
        logging.getLogger("bt_node.receive").warning("from %s", "\udcff")
        logging.getLogger("bt_node.receive").warning("from %d", "Doe^Jane")
    assert r"from \udcff" in log()
    assert "from %d (values that do not fit)" in log()
    assert "Doe" not in log() + "".join(capfd.readouterr())


def test_a_line_is_bounded() -> None:
    with node_log() as log:
        logging.getLogger("bt_node.receive").warning("from %s", "\n" * 60_000)
    assert len(log()) <= 2001


def test_libraries_tell_their_place_and_not_their_text() -> None:
    with node_log("INFO") as log:
        logging.getLogger("pydicom").warning("Unknown encoding 'Doe^Jane'")
        logging.getLogger("pynetdicom.pdu").error("Abstract syntax %s", "Doe^Jane")
        logging.getLogger().critical("Doe^Jane")
        warnings.warn("Invalid value for VR UI: 'Doe^Jane'", UserWarning, stacklevel=1)
        logging.getLogger("pynetdicom.pdu").info("Doe^Jane")
    assert "Doe" not in log()
    lines = log().splitlines()
    assert len(lines) == 4
    assert all("test_logs.py:" in line and "kept back" in line for line in lines)
    assert "pydicom" in lines[0]
    assert "UserWarning" in lines[3]


def test_a_library_whose_own_level_was_reset_at_its_import_tells_no_text_either() -> None:
    with node_log("INFO") as log:
        import pydicom.config

        pydicom.config.debug(debug_on=False, default_handler=False)
        logging.getLogger("pydicom").warning("Unknown encoding 'Doe^Jane'")
    assert "Doe" not in log()
    assert "pydicom" in log()


def test_repeats_are_counted_and_not_written() -> None:
    with node_log("INFO") as log:
        for number in range(1500):
            logging.getLogger("pydicom").warning("Unknown encoding %s", number)
            warnings.warn(f"value {number}", UserWarning, stacklevel=1)
    lines = log().splitlines()
    assert len(lines) == 8
    assert sum("(1000 times by now)" in line for line in lines) == 2


def test_places_without_end_fill_no_memory() -> None:
    with node_log("INFO") as log:
        for number in range(5000):
            logging.getLogger(f"library.{number}").warning("Doe^Jane")
    assert len(log().splitlines()) < 600


def test_an_error_is_logged_by_class_and_place() -> None:
    with node_log() as log:
        try:
            int("Doe^Jane")
        except ValueError:
            logging.getLogger("bt_node.convert").debug("failed", exc_info=True)
        thread = threading.Thread(target=int, args=("Doe^Jane",))
        thread.start()
        thread.join()
    assert "Doe" not in log()
    lines = log().splitlines()
    assert len(lines) == 2
    assert "ValueError" in lines[0]
    assert "test_logs.py" in lines[0]
    assert "a thread ended: unexpected ValueError" in lines[1]


def test_visible_keeps_what_can_be_read() -> None:
    assert visible("Größe 5 µm, 脳\n", keep="\n") == "Größe 5 µm, 脳\n"
    assert visible("a\x1b[2Jb\x9bc") == r"a\x1b[2Jb\x9bc"
    assert one_line("x" * 30, 10) == "xxxxxxxxx…"
