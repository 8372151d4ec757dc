"""Whose study it is, as a hash under the site's own key: the same patient is known again, nobody is named.

Why birth date is in the hash and sex is not: docs/adr/0005-a-patient-is-a-keyed-hash.md.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date

# What scanners, phantoms and de-identifying tools write where nobody's ID is meant. Compared without punctuation.
# fmt: off
_NOBODY = frozenset({
    "ANON", "ANONYM", "ANONYMISED", "ANONYMISIERT", "ANONYMIZED", "ANONYMOUS", "ANONYMOUSPATIENT", "DEIDENTIFIED",
    "DUMMY", "EMERGENCY", "ID", "NA", "NAN", "NEW", "NIL", "NOBODY", "NOID", "NONAME", "NONE", "NOTAVAILABLE",
    "NOTKNOWN", "NULL", "PATIENT", "PATIENTID", "PHANTOM", "QA", "QC", "REMOVED", "SERVICE", "TEMP", "TEST",
    "TESTPATIENT", "UNBEKANNT", "UNDEFINED", "UNIDENTIFIED", "UNKNOWN", "UNKNOWNPATIENT",
})
# fmt: on
_COUNTING = "12345678901234567890"


@dataclass(frozen=True)
class PatientIdentity:
    """Who the headers say it is. Lives in memory only; even its repr is silent.

    Attributes:
        patient_id: PatientID (0010,0020).
        issuer: IssuerOfPatientID (0010,0021); empty where the headers name none.
        birth_date: PatientBirthDate as DICOM writes it (YYYYMMDD); empty where unknown.
        study_day: the day of StudyDate, None where it is missing or no date.
        study_instance_uid: the study that these headers belong to; not part of who it is.
    """

    patient_id: str = field(repr=False)
    issuer: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)
    study_day: date | None = field(default=None, repr=False)
    study_instance_uid: str = ""

    @property
    def is_somebody(self) -> bool:
        """Whether the ID can be one patient's own: not empty, and none that many patients share."""
        bare = re.sub(r"[\W_]+", "", _plain(self.patient_id)).upper()
        return len(set(bare)) > 1 and bare not in _NOBODY and not _COUNTING.startswith(bare)

    def keyed_hash(self, key: bytes) -> str:
        """HMAC-SHA256 (hex) over ID, issuer and birth date; spaces at the ends do not count, upper and lower case do.

        Raises:
            ValueError: the ID is nobody's: see `is_somebody`.
        """
        if not self.is_somebody:
            raise ValueError("this PatientID names nobody")
        parts = [_plain(part) for part in (self.patient_id, self.issuer, self.birth_date)]
        text = "".join(f"{len(part)}:{part}" for part in ("patient", *parts))
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _plain(value: str) -> str:
    """One spelling of a text: composed characters, no padding (PS3.5 6.2: spaces at the ends of LO mean nothing)."""
    return unicodedata.normalize("NFC", value).strip(" \0\t\r\n")
