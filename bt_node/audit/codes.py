"""Codes of audit messages: DICOM's own (PS3.16 CID 400 to 402, 404) and ours where it has none."""

from __future__ import annotations

from dataclasses import dataclass

DCM, OURS = "DCM", "99BT_NODE"


@dataclass(frozen=True)
class Code:
    """A coded value (PS3.15 A.5.1, CodedValueType)."""

    value: str
    meaning: str
    scheme: str = DCM


# CID 400: which message it is.
APPLICATION_ACTIVITY = Code("110100", "Application Activity")
AUDIT_LOG_USED = Code("110101", "Audit Log Used")
INSTANCES_ACCESSED = Code("110103", "DICOM Instances Accessed")
INSTANCES_TRANSFERRED = Code("110104", "DICOM Instances Transferred")
STUDY_DELETED = Code("110105", "DICOM Study Deleted")
SECURITY_ALERT = Code("110113", "Security Alert")

# CID 401: which kind of it.
APPLICATION_START = Code("110120", "Application Start")
APPLICATION_STOP = Code("110121", "Application Stop")
NODE_AUTHENTICATION = Code("110126", "Node Authentication")

# CID 402: in which role a participant took part.
APPLICATION = Code("110150", "Application")
DESTINATION = Code("110152", "Destination Role ID")
SOURCE = Code("110153", "Source Role ID")

# CID 404: what an object's identifier is.
STUDY_INSTANCE_UID = Code("110180", "Study Instance UID")
NODE_ID = Code("110182", "Node ID")
URI = Code("12", "URI", "RFC-3881")
