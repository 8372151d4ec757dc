"""Audit messages are what the standard's schema asks for, and hold what the trail holds."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from lxml import etree

from bt_node.audit.message import is_warning, messages
from bt_node.domain.audit import AuditEntry, AuditEvent, AuditRecord, Outcome

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("audit-message.rng")))
STUDIES = {"1.2.840.1": 120, "1.2.840.2": 0}


def entry(event: AuditEvent, **record: object) -> AuditEntry:
    facts = {"studies": STUDIES, "peer": "SCANNER", "address": "10.0.0.9", "detail": "why <&>", **record}
    return AuditEntry(7, 1_800_000_000.25, "node-1:4711", AuditRecord(event, "node-1:104", **facts), "ab" * 32)


def parsed(text: str) -> etree._Element:
    return etree.fromstring(text)


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("studies", [STUDIES, {}])
@pytest.mark.parametrize("event", list(AuditEvent))
def test_every_message_is_valid_by_the_standard_s_schema(
    event: AuditEvent, studies: dict[str, int], outcome: Outcome
):
    for text in messages(entry(event, studies=studies, outcome=outcome)):
        assert SCHEMA.validate(parsed(text)), SCHEMA.error_log
        assert "\n" not in text


def test_the_schema_refuses_what_the_standard_does_not_have():
    wrong = messages(entry(AuditEvent.SENT))[0].replace('EventActionCode="R"', 'EventActionCode="X"')
    assert not SCHEMA.validate(parsed(wrong))


@pytest.mark.parametrize(
    ("event", "code", "action"),
    [
        (AuditEvent.STARTED, "110100", "E"),
        (AuditEvent.STOPPED, "110100", "E"),
        (AuditEvent.RECEIVED, "110104", "C"),
        (AuditEvent.ACCESSED, "110103", "R"),
        (AuditEvent.SENT, "110104", "R"),
        (AuditEvent.DELETED, "110105", "D"),
        (AuditEvent.DECIDED, "110103", "U"),
        (AuditEvent.REFUSED, "110113", "E"),
        (AuditEvent.TRAIL_READ, "110101", "R"),
    ],
)
def test_each_event_has_the_standard_s_code_and_action(event: AuditEvent, code: str, action: str):
    message = parsed(messages(entry(event))[0])
    assert message.find("EventIdentification/EventID").get("csd-code") == code
    assert message.find("EventIdentification").get("EventActionCode") == action


def test_each_study_has_a_message_of_its_own_with_its_number_of_instances():
    found = [parsed(text).findall("ParticipantObjectIdentification") for text in messages(entry(AuditEvent.RECEIVED))]
    assert [[each.get("ParticipantObjectID") for each in objects] for objects in found] == [[uid] for uid in STUDIES]
    assert found[0][0].find("ParticipantObjectDescription/SOPClass").get("NumberOfInstances") == "120"


def test_sender_and_receiver_have_their_roles():
    message = parsed(messages(entry(AuditEvent.RECEIVED))[0])
    roles = {
        each.get("UserID"): each.find("RoleIDCode").get("csd-code") for each in message.iter("ActiveParticipant")
    }
    assert roles == {"SCANNER": "110153", "node-1:104": "110152"}


def test_number_and_hash_travel_along():
    message = parsed(messages(entry(AuditEvent.SENT))[0])
    details = {
        each.get("type"): base64.b64decode(each.get("value")).decode()
        for each in message.iter("ParticipantObjectDetail")
    }
    assert details == {"entry": "7", "hash": "ab" * 32, "detail": "why <&>"}


def test_no_message_names_a_patient():
    for event in AuditEvent:
        for text in messages(entry(event)):
            types = [
                each.get("ParticipantObjectTypeCode") for each in parsed(text).iter("ParticipantObjectIdentification")
            ]
            assert "1" not in types


def test_what_failed_says_why_and_is_a_warning():
    failed = entry(AuditEvent.REFUSED, outcome=Outcome.MINOR_FAILURE)
    message = parsed(messages(failed)[0])
    assert message.find("EventIdentification/EventOutcomeDescription").text == "why <&>"
    assert is_warning(failed)
    assert not is_warning(entry(AuditEvent.SENT))


EVIL = "".join(map(chr, (*range(0x20), 0x7F, 0x9B, 0x2028, 0x202E, 0xD800, 0xDFFF, 0xFFFE, 0xFFFF, 0x1F600)))


@pytest.mark.parametrize("event", list(AuditEvent))
def test_a_message_is_well_formed_and_one_line_whatever_an_old_entry_holds(event: AuditEvent):
    facts = {"studies": {f"1.2{EVIL}": 1}, "peer": EVIL, "address": EVIL, "detail": EVIL}
    record = AuditRecord(event, f"cli:{EVIL}", outcome=Outcome.MINOR_FAILURE, **facts)
    for text in messages(AuditEntry(7, 1_800_000_000.25, f"{EVIL}:4711", record, "ab" * 32)):
        assert text.isprintable()
        assert SCHEMA.validate(parsed(text)), SCHEMA.error_log
        text.encode("utf-8")
