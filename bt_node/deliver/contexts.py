"""Which presentation contexts a set of files needs, and under which one each file can go.

Files go out as they are, in their own transfer syntax. Only where a peer does not take that one, an uncompressed
data set is written again as explicit or implicit VR little endian; compressed pixels are never touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.presentation import PresentationContext, build_context

from bt_node.deliver.part10 import NotDicomError, read_identity
from bt_node.deliver.peer import OutgoingFile

LARGEST_CONTEXT_COUNT = 128  # PS3.8 Table 9-13: context IDs are the odd numbers 1 to 255
_CONVERTIBLE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)


@dataclass(frozen=True)
class Parcel:
    """A file that can be sent, with the transfer syntax that its meta information names.

    Attributes:
        as_it_is: the file's own bytes can go out. Not so where its meta information names another object than its
            data set: the library takes the command's UIDs from the meta information.
    """

    file: OutgoingFile
    transfer_syntax: UID
    as_it_is: bool = True

    @property
    def kind(self) -> tuple[str, UID]:
        """What decides the contexts: SOP class and transfer syntax."""
        return (self.file.sop_class_uid, self.transfer_syntax)

    @property
    def in_words(self) -> str:
        """Names of SOP class and transfer syntax, as the standard calls them."""
        return f"{UID(self.file.sop_class_uid).name}, {self.transfer_syntax.name}"


def open_parcel(file: OutgoingFile) -> Parcel | str:
    """Read who a file is; the reason in words when it cannot be sent."""
    try:
        identity = read_identity(file.path)
    except FileNotFoundError:
        return "the file is missing"
    except NotDicomError:
        return "the file cannot be read as DICOM Part 10"
    if (identity.sop_class_uid, identity.sop_instance_uid) != (file.sop_class_uid, file.sop_instance_uid):
        return "the file holds another object than the one to be sent"
    return Parcel(file, identity.transfer_syntax, identity.meta_agrees)


def contexts_for(parcels: Sequence[Parcel]) -> list[PresentationContext]:
    """One context for each (SOP class, transfer syntax), and one more for what it could be rewritten to."""
    contexts = []
    for sop_class, syntax in dict.fromkeys(parcel.kind for parcel in parcels):
        contexts.append(build_context(sop_class, syntax))
        others: list[str | UID] = [other for other in _CONVERTIBLE[:2] if other != syntax]
        if syntax in _CONVERTIBLE:
            contexts.append(build_context(sop_class, others))
    return contexts


def batches(parcels: Sequence[Parcel]) -> Iterator[list[Parcel]]:
    """Groups that fit into one association each; nearly always there is one group."""
    kinds = list(dict.fromkeys(parcel.kind for parcel in parcels))
    per_association = LARGEST_CONTEXT_COUNT // 2
    for first in range(0, len(kinds), per_association):
        chosen = set(kinds[first : first + per_association])
        yield [parcel for parcel in parcels if parcel.kind in chosen]


def accepted_as(parcel: Parcel, accepted: Sequence[PresentationContext]) -> UID | None:
    """The transfer syntax under which the peer takes this file: its own if it can be, or one to rewrite it to."""
    syntaxes = [
        UID(context.transfer_syntax[0])
        for context in accepted
        if context.abstract_syntax == parcel.file.sop_class_uid
    ]
    if parcel.transfer_syntax in syntaxes:
        return parcel.transfer_syntax
    if parcel.transfer_syntax not in _CONVERTIBLE:
        return None
    return next((syntax for syntax in syntaxes if syntax in _CONVERTIBLE), None)
