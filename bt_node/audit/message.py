"""An entry of the trail as PS3.15 A.5 audit messages: XML, one for each study, as a message is about one patient.

The patient is not named: the trail holds StudyInstanceUIDs, from which the archive knows the patient. The messages of
A.5.3 that ask for a patient object are sent without it (docs/security.md). Number and hash of the entry travel along:
whoever collects the messages can prove later what the trail was.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from bt_node.audit import codes
from bt_node.audit.codes import Code
from bt_node.domain.audit import AuditEntry, AuditEvent, AuditRecord, Outcome
from bt_node.domain.text import visible

_IP_ADDRESS = "2"  # NetworkAccessPointTypeCode
_APPLICATION_SERVER = "4"  # AuditSourceTypeCode
_SYSTEM_OBJECT, _REPORT, _SECURITY_RESOURCE = "2", "3", "13"  # ParticipantObjectTypeCode, …Role


@dataclass(frozen=True)
class _Kind:
    """EventID and EventActionCode, and EventTypeCode where the kind has one."""

    code: Code
    action: str
    type_code: Code | None = None


_KINDS = {
    AuditEvent.STARTED: _Kind(codes.APPLICATION_ACTIVITY, "E", codes.APPLICATION_START),
    AuditEvent.STOPPED: _Kind(codes.APPLICATION_ACTIVITY, "E", codes.APPLICATION_STOP),
    AuditEvent.RECEIVED: _Kind(codes.INSTANCES_TRANSFERRED, "C"),
    AuditEvent.ACCESSED: _Kind(codes.INSTANCES_ACCESSED, "R"),
    AuditEvent.SENT: _Kind(codes.INSTANCES_TRANSFERRED, "R"),  # we do not know what the receiver held
    AuditEvent.DELETED: _Kind(codes.STUDY_DELETED, "D"),
    AuditEvent.DECIDED: _Kind(codes.INSTANCES_ACCESSED, "U"),
    AuditEvent.REFUSED: _Kind(codes.SECURITY_ALERT, "E", codes.NODE_AUTHENTICATION),
    AuditEvent.TRAIL_READ: _Kind(codes.AUDIT_LOG_USED, "R"),
}


def messages(entry: AuditEntry) -> list[str]:
    """The entry as XML texts of one line each; more than one where an association brought several studies."""
    studies = list(entry.record.studies) or [""]
    return [ET.tostring(_printable(_message(entry, study)), encoding="unicode") for study in studies]


def is_warning(entry: AuditEntry) -> bool:
    """Whether somebody should look at it soon."""
    return entry.record.outcome is not Outcome.SUCCESS


def _printable(message: ET.Element) -> ET.Element:
    """Escape what XML 1.0 (2.2) forbids and what would break the line: an entry may hold whatever somebody sent."""
    for element in message.iter():
        for name, value in element.items():
            element.set(name, visible(value))
        element.text = visible(element.text or "") or None
    return message


def _message(entry: AuditEntry, study: str) -> ET.Element:
    record = entry.record
    message = ET.Element("AuditMessage")
    _event(message, entry)
    for participant in _participants(record):
        _participant(message, participant)
    host = entry.source.rpartition(":")[0]
    source = ET.SubElement(message, "AuditSourceIdentification", AuditSourceID=host or entry.source)
    ET.SubElement(source, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})
    if study:
        _study(message, entry, study)
    elif record.event is AuditEvent.REFUSED:
        _object(message, codes.NODE_ID, record.address or record.peer or "unknown", "peer", entry)
    elif record.event is AuditEvent.TRAIL_READ:
        _object(message, codes.URI, "urn:bt-node:audit-trail", "Security Audit Log", entry)
    return message


def _event(message: ET.Element, entry: AuditEntry) -> None:
    record, kind = entry.record, _KINDS[entry.record.event]
    at = datetime.fromtimestamp(entry.at, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    attributes = {
        "EventActionCode": kind.action,
        "EventDateTime": at,
        "EventOutcomeIndicator": str(int(record.outcome)),
    }
    event = ET.SubElement(message, "EventIdentification", attributes)
    _coded(event, "EventID", kind.code)
    type_code = kind.type_code
    if record.event is AuditEvent.DECIDED:
        type_code = Code(record.detail, f"Decided by a person: {record.detail}", codes.OURS)
    if type_code:
        _coded(event, "EventTypeCode", type_code)
    if record.outcome is not Outcome.SUCCESS:
        ET.SubElement(event, "EventOutcomeDescription").text = record.detail


@dataclass(frozen=True)
class _Participant:
    """Who took part; the requestor is who wanted it."""

    user: str
    requestor: bool
    role: Code | None = None
    address: str = ""


def _participants(record: AuditRecord) -> list[_Participant]:
    actor, peer = record.actor, record.peer or "unknown"
    match record.event:
        case AuditEvent.STARTED | AuditEvent.STOPPED:
            return [_Participant(actor, requestor=False, role=codes.APPLICATION)]
        case AuditEvent.RECEIVED:
            sender = _Participant(peer, requestor=True, role=codes.SOURCE, address=record.address)
            return [sender, _Participant(actor, requestor=False, role=codes.DESTINATION)]
        case AuditEvent.SENT:
            receiver = _Participant(peer, requestor=False, role=codes.DESTINATION, address=record.address)
            return [_Participant(actor, requestor=True, role=codes.SOURCE), receiver]
        case AuditEvent.REFUSED:
            return [
                _Participant(actor, requestor=False, role=codes.APPLICATION),
                _Participant(peer, requestor=True, address=record.address),
            ]
        case _:
            return [_Participant(actor, requestor=True)]


def _participant(message: ET.Element, who: _Participant) -> None:
    attributes = {"UserID": who.user, "UserIsRequestor": str(who.requestor).lower()}
    if who.address:
        attributes |= {"NetworkAccessPointID": who.address, "NetworkAccessPointTypeCode": _IP_ADDRESS}
    element = ET.SubElement(message, "ActiveParticipant", attributes)
    if who.role:
        _coded(element, "RoleIDCode", who.role)


def _study(message: ET.Element, entry: AuditEntry, study: str) -> None:
    attributes = {
        "ParticipantObjectID": study,
        "ParticipantObjectTypeCode": _SYSTEM_OBJECT,
        "ParticipantObjectTypeCodeRole": _REPORT,
    }
    element = ET.SubElement(message, "ParticipantObjectIdentification", attributes)
    _coded(element, "ParticipantObjectIDTypeCode", codes.STUDY_INSTANCE_UID)
    ET.SubElement(element, "ParticipantObjectName").text = "Study"
    _details(element, entry)
    number = entry.record.studies[study]
    if number:
        description = ET.SubElement(element, "ParticipantObjectDescription")
        ET.SubElement(description, "SOPClass", NumberOfInstances=str(number))


def _object(message: ET.Element, id_type: Code, identifier: str, name: str, entry: AuditEntry) -> None:
    attributes = {
        "ParticipantObjectID": identifier,
        "ParticipantObjectTypeCode": _SYSTEM_OBJECT,
        "ParticipantObjectTypeCodeRole": _SECURITY_RESOURCE,
    }
    element = ET.SubElement(message, "ParticipantObjectIdentification", attributes)
    _coded(element, "ParticipantObjectIDTypeCode", id_type)
    ET.SubElement(element, "ParticipantObjectName").text = name
    _details(element, entry)


def _details(element: ET.Element, entry: AuditEntry) -> None:
    for name, value in (("entry", str(entry.number)), ("hash", entry.hash), ("detail", entry.record.detail)):
        if value:
            encoded = base64.b64encode(value.encode(errors="backslashreplace")).decode("ascii")
            ET.SubElement(element, "ParticipantObjectDetail", type=name, value=encoded)


def _coded(parent: ET.Element, name: str, code: Code) -> None:
    attributes = {
        "csd-code": code.value,
        "codeSystemName": code.scheme,
        "displayName": code.meaning,
        "originalText": code.meaning,
    }
    ET.SubElement(parent, name, attributes)
