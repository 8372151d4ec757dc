"""STOW-RS as the second way to deliver (PS3.18 10.5), and QIDO-RS as proof (PS3.18 10.6).

One request for each object: memory holds one object, and each has a status of its own. The client library does not
retry; the outbox does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import requests
from dicomweb_client import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset

from bt_node.deliver.part10 import NotDicomError, read_identity
from bt_node.deliver.peer import EchoOutcome, MayGo, OutgoingFile, always, withdrawn
from bt_node.deliver.prove import CommitmentDesk
from bt_node.deliver.statuses import verdict
from bt_node.deliver.web_access import WebAccess
from bt_node.domain.errors import OutletError
from bt_node.domain.proof import Answer, Proof, ProofOutcome, Reference
from bt_node.domain.result import SendOutcome

logger = logging.getLogger(__name__)

_NOBODYS_STUDY = "2.25.0"  # asked for to see whether the service answers, without anybody's data
_FORBIDDEN = (401, 403)
_FULL = 507  # RFC 4918: insufficient storage
_CONFLICT = 409  # PS3.18 Table 10.5.3-1: nothing was stored; the body says why
_NOT_PERMANENT = (*_FORBIDDEN, 408, 425, 429)  # an administrator, or time, mends these


class _UnreachableError(Exception):
    """The service could not be asked at all; the message says why, in an operator's words."""


class StowOutlet:
    """A destination that takes STOW-RS and is asked by QIDO-RS."""

    ways = (Proof.QUERY,)

    def __init__(self, url: str, access: WebAccess, timeout_s: float) -> None:
        """Nothing is connected or read yet.

        Args:
            url: root of the DICOMweb service.
            access: files with what it asks for.
            timeout_s: for connecting, and for each silence of the service; a request has twice that in all, and what
                its object needs at 1 Mbit/s.
        """
        self._url, self._access, self._timeout_s = url, access, timeout_s

    @property
    def address(self) -> str:
        """The service's root; it holds neither user nor password."""
        return self._url

    # ------------------------------------------------------------ sending

    def send(
        self, objects: Sequence[OutgoingFile], patience: float = 1.0, may_go: MayGo = always
    ) -> tuple[SendOutcome, ...]:
        """STOW-RS of each object; once the service is out of reach the rest is not tried."""
        outcomes: dict[OutgoingFile, SendOutcome] = {}
        trouble = ""
        try:
            client = self._client(patience)
        except OutletError as error:
            trouble = str(error)
            client = None
        for file in dict.fromkeys(objects):
            if client is not None and not trouble:
                try:
                    outcomes[file] = _store(client, file) if may_go(file) else withdrawn(file)
                except _UnreachableError as unreachable:
                    trouble = str(unreachable)
            if file not in outcomes:
                outcomes[file] = SendOutcome(
                    file.sop_instance_uid, None, delivered=False, detail=trouble, unreachable=True
                )
        return tuple(outcomes[file] for file in objects)

    # ------------------------------------------------------------ proof

    def prove(
        self,
        references: Sequence[Reference],
        ways: Sequence[Proof],  # noqa: ARG002 - there is one
        desk: CommitmentDesk,  # noqa: ARG002
    ) -> tuple[tuple[ProofOutcome, ...], str]:
        """QIDO-RS for each object by all its UIDs; there is no storage commitment in DICOMweb."""
        outcomes = []
        trouble = ""
        try:
            client = self._client()
        except OutletError as error:
            trouble, client = str(error), None
        for reference in references:
            uid = reference.sop_instance_uid
            if client is not None and not trouble:
                try:
                    outcomes.append(_look_for(client, reference))
                    continue
                except _UnreachableError as unreachable:
                    trouble = str(unreachable)
            outcomes.append(ProofOutcome(uid, Answer.UNREACHABLE, Proof.QUERY, trouble))
        return tuple(outcomes), ""

    # ------------------------------------------------------------ check

    def check(self) -> EchoOutcome:
        """A QIDO-RS search for a study that does not exist: connection, certificate and credentials are tried."""
        try:
            client = self._client()
            client.search_for_studies(search_filters={"StudyInstanceUID": _NOBODYS_STUDY}, limit=1)
        except OutletError as error:
            return EchoOutcome(ok=False, detail=str(error))
        except requests.HTTPError as error:
            return EchoOutcome(ok=False, detail=_http_words(error))
        except (requests.RequestException, OSError) as error:
            return EchoOutcome(ok=False, detail=_words(error))
        except Exception:  # noqa: BLE001 - whatever it answered
            return EchoOutcome(ok=False, detail="what answers is no DICOMweb service")
        return EchoOutcome(ok=True, detail="answered")

    def offers(self) -> tuple[Proof, ...]:
        """A service that answered `check` takes searches."""
        return self.ways

    def _client(self, patience: float = 1.0) -> DICOMwebClient:
        client = DICOMwebClient(self._url, session=self._access.session(), timeout=self._timeout_s * patience)
        client.set_http_retry_params(retry=False)
        return client


# ---------------------------------------------------------------- one object


def _store(client: DICOMwebClient, file: OutgoingFile) -> SendOutcome:
    """One object; the Store Instances Response (PS3.18 Annex I) decides, not the HTTP status alone.

    Raises:
        _UnreachableError: no connection, or nobody who may be meant.
    """
    uid = file.sop_instance_uid
    try:
        identity = read_identity(file.path)
        dataset = dcmread(file.path)
    except FileNotFoundError:
        return _refused(uid, "the file is missing", permanent=True)
    except NotDicomError:
        return _refused(uid, "the file cannot be read as DICOM Part 10", permanent=True)
    if (identity.sop_class_uid, identity.sop_instance_uid) != (file.sop_class_uid, uid):
        return _refused(uid, "the file holds another object than the one to be sent", permanent=True)
    started = time.monotonic()
    try:
        answer = client.store_instances([dataset])
    except requests.HTTPError as error:
        return _refused_by_http(uid, error)
    except requests.Timeout as error:
        if isinstance(error, requests.ConnectTimeout):
            raise _UnreachableError(_words(error)) from error
        return _refused(uid, f"no answer within {time.monotonic() - started:.0f} s")
    except (requests.RequestException, OSError) as error:
        raise _UnreachableError(_words(error)) from error
    except Exception as error:  # noqa: BLE001 - whatever it answered: the object may be there, and is sent again
        logger.warning("%s: the answer cannot be read: %s", uid, type(error).__name__)
        return _refused(uid, "the service's answer cannot be read")
    return _judge(uid, answer)


def _judge(uid: str, answer: Dataset) -> SendOutcome:
    for item in _items(answer, "FailedSOPSequence"):
        if str(item.get("ReferencedSOPInstanceUID", uid)) == uid:
            return _failed(uid, int(item.get("FailureReason") or 0x0110))
    for item in _items(answer, "ReferencedSOPSequence"):
        if str(item.get("ReferencedSOPInstanceUID", "")) == uid:
            warning = int(item.get("WarningReason") or 0)  # PS3.18 Table I.2-2: 0xB000, 0xB006, 0xB007
            said = verdict(warning)
            if said.delivered:
                return SendOutcome(uid, warning, delivered=True, detail=said.detail)
            return SendOutcome(uid, 0, delivered=True, detail=f"stored, with warning 0x{warning:04X}")
    # Success without a word about the object: its word is as good as C-STORE's, and proof is asked for all the same.
    return SendOutcome(uid, 0, delivered=True, detail="stored; the service named no object")


def _failed(uid: str, reason: int) -> SendOutcome:
    """FailureReason (0008,1197) of a Store Instances Response has the values of C-STORE (PS3.18 Table I.2-2)."""
    said = verdict(reason)
    if said.delivered:
        return SendOutcome(uid, reason, delivered=False, detail=f"refused (0x{reason:04X})")
    return SendOutcome(uid, reason, delivered=False, detail=said.detail, permanent=said.permanent)


def _refused_by_http(uid: str, error: requests.HTTPError) -> SendOutcome:
    code = _status(error)
    if code == _CONFLICT:
        try:
            return _judge_conflict(uid, Dataset.from_json(error.response.json()))  # type: ignore[union-attr]
        except Exception:  # noqa: BLE001 - not DICOM JSON, whatever it is; the HTTP status has to do
            logger.debug("%s: the answer to a refused object cannot be read", uid)
    words = _http_words(error)
    if code in _FORBIDDEN or code >= 500 and code != _FULL:  # noqa: RUF021, PLR2004 - server errors
        raise _UnreachableError(words) from error
    permanent = 400 <= code < 500 and code not in _NOT_PERMANENT  # noqa: PLR2004 - client errors
    return _refused(uid, words, permanent=permanent)


def _judge_conflict(uid: str, answer: Dataset) -> SendOutcome:
    reasons = [int(item.get("FailureReason") or 0x0110) for item in _items(answer, "FailedSOPSequence")]
    return _failed(uid, reasons[0]) if reasons else _refused(uid, "refused: HTTP 409 Conflict", permanent=True)


def _look_for(client: DICOMwebClient, reference: Reference) -> ProofOutcome:
    uid = reference.sop_instance_uid
    try:
        found = client.search_for_instances(
            reference.study_instance_uid, reference.series_instance_uid, search_filters={"SOPInstanceUID": uid}
        )
        is_there = any(_sop_instance_uid(match) == uid for match in found)
    except requests.HTTPError as error:
        if _status(error) == 404:  # noqa: PLR2004 - some services answer so where a study is not known
            return ProofOutcome(uid, Answer.MISSING, Proof.QUERY, "not found by QIDO-RS")
        return ProofOutcome(uid, Answer.UNCLEAR, Proof.QUERY, f"QIDO-RS: {_http_words(error)}")
    except requests.ReadTimeout:
        return ProofOutcome(uid, Answer.UNCLEAR, Proof.QUERY, "QIDO-RS: no answer in time")
    except (requests.RequestException, OSError) as error:
        raise _UnreachableError(_words(error)) from error
    except Exception:  # noqa: BLE001 - whatever it answered
        return ProofOutcome(uid, Answer.UNCLEAR, Proof.QUERY, "QIDO-RS: the answer cannot be read")
    if is_there:
        return ProofOutcome(uid, Answer.KEPT, Proof.QUERY, "found by QIDO-RS")
    return ProofOutcome(uid, Answer.MISSING, Proof.QUERY, "not found by QIDO-RS")


def _sop_instance_uid(match: Any) -> str:
    try:
        return str(match["00080018"]["Value"][0])
    except (KeyError, IndexError, TypeError):
        return ""


def _items(answer: Dataset, keyword: str) -> Sequence[Dataset]:
    found: Sequence[Dataset] = answer.get(keyword) or ()
    return found


def _refused(uid: str, detail: str, *, permanent: bool = False) -> SendOutcome:
    return SendOutcome(uid, None, delivered=False, detail=detail, permanent=permanent)


# ---------------------------------------------------------------- words; a library's own may hold URLs and headers


def _status(error: requests.HTTPError) -> int:
    return 0 if error.response is None else error.response.status_code


def _http_words(error: requests.HTTPError) -> str:
    code = _status(error)
    if code in _FORBIDDEN:
        return f"not authorised (HTTP {code}): look at token_file or login_file"
    if code == _FULL:
        return "refused: out of storage (HTTP 507)"
    return f"refused: HTTP {code}"


def _words(error: Exception) -> str:
    match error:
        case requests.exceptions.SSLError():
            return f"TLS: {_tls_reason(error)}"
        case requests.Timeout():
            return "no connection: no answer in time"
        case requests.TooManyRedirects():
            return "the service sends us elsewhere; use its own URL"
        case requests.ConnectionError() if "NameResolution" in repr(error):
            return "no connection: host name not known"
        case requests.ConnectionError() if "refused" in repr(error):
            return "no connection: connection refused"
    return f"no connection: {type(error).__name__}"


def _tls_reason(error: Exception) -> str:
    text = repr(error)
    known = {
        "CERTIFICATE_VERIFY_FAILED": "the certificate is not trusted: look at ca of its tls",
        "CERTIFICATE_REQUIRED": "it asks for a certificate of ours: look at certificate of its tls",
        "HANDSHAKE_FAILURE": "handshake failed",
        "hostname mismatch": "the certificate is another host's",
    }
    return next((words for mark, words in known.items() if mark.lower() in text.lower()), "handshake failed")
