"""C-STORE as SCU: every object gets an outcome, whatever the network does.

One association a call (more only where 128 contexts do not suffice, or where the peer dropped one half-way). Trouble
of the network, the peer or a file is an outcome, never an exception.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence

from pydicom import dcmread
from pydicom.uid import UID
from pynetdicom import _config as pynetdicom_settings
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from bt_node.deliver.association import NoAssociationError, associate
from bt_node.deliver.contexts import Parcel, accepted_as, batches, contexts_for, open_parcel
from bt_node.deliver.peer import SLOWEST_BYTES_PER_SECOND, EchoOutcome, MayGo, OutgoingFile, Peer, always, withdrawn
from bt_node.deliver.statuses import verdict
from bt_node.domain.result import SendOutcome

__all__ = ["EchoOutcome", "OutgoingFile", "Peer", "echo", "send"]

logger = logging.getLogger(__name__)

_DROPS_IN_A_ROW = 3
_ENDED = "the association ended before an answer came"
_STATUS_SUCCESS = 0x0000
_VERIFICATION = "1.2.840.10008.1.1"  # PS3.4 Annex A

Progress = Callable[[SendOutcome], None]


def send(
    destination: Peer,
    calling_ae_title: str,
    objects: Sequence[OutgoingFile],
    timeout_s: float = 60.0,
    progress: Progress | None = None,
    may_go: MayGo = always,
) -> tuple[SendOutcome, ...]:
    """C-STORE files to a peer and return one outcome for each, in the order given.

    Args:
        destination: where to.
        calling_ae_title: our AE title.
        objects: files of any SOP class and transfer syntax; UIDs must be those of the data set.
        timeout_s: seconds for each of: connecting, the association's answer, the answer to one C-STORE
            (plus what the object's size needs at 1 Mbit/s).
        progress: called with each outcome as it becomes known.
        may_go: asked right before each file leaves; one that may not is withdrawn.

    Raises:
        ValueError: `calling_ae_title` is not an AE title. Nothing else is raised on purpose.
    """
    outcomes: dict[OutgoingFile, SendOutcome] = {}

    def note(file: OutgoingFile, outcome: SendOutcome) -> None:
        outcomes[file] = outcome
        if progress is not None:
            progress(outcome)

    parcels = []
    for file in dict.fromkeys(objects):
        parcel = open_parcel(file)
        if isinstance(parcel, Parcel):
            parcels.append(parcel)
        else:
            note(file, _failed(file, parcel, permanent=True))
    for batch in batches(parcels):
        for parcel, outcome in _send_batch(destination, calling_ae_title, batch, timeout_s, may_go):
            note(parcel.file, outcome)
    return tuple(outcomes[file] for file in objects)


def echo(peer: Peer, calling_ae_title: str, timeout_s: float = 10.0) -> EchoOutcome:
    """C-ECHO (PS3.4 Annex A): does the peer answer us?

    Raises:
        ValueError: `calling_ae_title` is not an AE title.
    """
    try:
        with associate(peer, calling_ae_title, [build_context(_VERIFICATION)], timeout_s) as association:
            if not association.is_established:
                return EchoOutcome(ok=False, detail="presentation context not accepted: Verification SOP Class")
            status = association.send_c_echo().get("Status")
    except NoAssociationError as trouble:
        return EchoOutcome(ok=False, detail=f"no association: {trouble}")
    if status == _STATUS_SUCCESS:
        return EchoOutcome(ok=True, detail="answered")
    return EchoOutcome(ok=False, detail="no answer to C-ECHO" if status is None else f"status 0x{status:04X}")


# ---------------------------------------------------------------- one association after the other


def _send_batch(
    peer: Peer, calling: str, parcels: Sequence[Parcel], timeout_s: float, may_go: MayGo
) -> Iterator[tuple[Parcel, SendOutcome]]:
    """Outcomes of parcels whose contexts fit into one association.

    A peer that drops the association at one object must not keep those behind it from ever arriving: the rest goes
    over a new association, unless the peer falls silent or drops every time.
    """
    waiting, drops = list(parcels), 0
    while waiting and drops < _DROPS_IN_A_ROW:
        answered = False
        try:
            with associate(peer, calling, contexts_for(waiting), timeout_s) as association:
                for parcel, outcome in _send_over(association, tuple(waiting), timeout_s, may_go):
                    waiting.remove(parcel)
                    answered = answered or outcome.status is not None
                    yield parcel, outcome
        except NoAssociationError as trouble:
            for parcel in waiting:
                yield parcel, _failed(parcel.file, f"no association: {trouble}", unreachable=True)
            return
        drops = 0 if answered else drops + 1
    for parcel in waiting:
        yield parcel, _failed(parcel.file, "not sent: the destination drops every association")


def _send_over(
    association: Association, parcels: Sequence[Parcel], timeout_s: float, may_go: MayGo
) -> Iterator[tuple[Parcel, SendOutcome]]:
    """Send over one association; ends early when the peer ends the association.

    Raises:
        NoAssociationError: the peer fell silent, after the outcome that says so.
    """
    accepted = list(association.accepted_contexts)
    routes = [(parcel, accepted_as(parcel, accepted)) for parcel in parcels]
    for parcel, syntax in routes:
        if syntax is None:
            detail = f"presentation context not accepted: {parcel.in_words}"
            yield parcel, _failed(parcel.file, detail, permanent=True)
    for parcel, syntax in routes:
        if syntax is None:
            continue
        if not association.is_established:
            return
        if not may_go(parcel.file):
            yield parcel, withdrawn(parcel.file)
            continue
        patience = timeout_s + parcel.file.path.stat().st_size / SLOWEST_BYTES_PER_SECOND
        started = time.monotonic()
        outcome = _store(association, parcel, syntax, patience)
        yield parcel, outcome
        if outcome.status is None:
            silent = time.monotonic() - started >= patience
            association.abort()  # its own thread may not have noticed yet; nothing more may go over it
            if silent:
                raise NoAssociationError(f"the destination stopped answering (waited {patience:.0f} s)")
            return


def _store(association: Association, parcel: Parcel, syntax: UID, patience_s: float) -> SendOutcome:
    """One C-STORE; whatever goes wrong with it is its outcome."""
    # The library's documented switch for sending a file's own bytes instead of decoding and encoding them.
    pynetdicom_settings.STORE_SEND_CHUNKED_DATASET = True
    association.dimse_timeout = association.network_timeout = patience_s
    content = parcel.file.path if parcel.as_it_is and syntax == parcel.transfer_syntax else None
    started = time.monotonic()
    try:
        answer = association.send_c_store(dcmread(parcel.file.path) if content is None else content)
    except RuntimeError:  # the library's word for an association that is no more
        return _failed(parcel.file, _ENDED)
    except Exception as trouble:  # noqa: BLE001 - an edge: one object's trouble must not stop the next
        logger.warning("%s could not be sent: %s", parcel.file.sop_instance_uid, type(trouble).__name__)
        return _failed(parcel.file, f"could not be encoded as {syntax.name}", permanent=content is None)
    status = answer.get("Status")
    if status is not None:
        said = verdict(int(status))
        return SendOutcome(parcel.file.sop_instance_uid, int(status), said.delivered, said.detail, said.permanent)
    if time.monotonic() - started >= patience_s:
        return _failed(parcel.file, f"no answer within {patience_s:.0f} s")
    return _failed(parcel.file, _ENDED)


def _failed(file: OutgoingFile, detail: str, *, permanent: bool = False, unreachable: bool = False) -> SendOutcome:
    return SendOutcome(
        file.sop_instance_uid, None, delivered=False, detail=detail, permanent=permanent, unreachable=unreachable
    )
