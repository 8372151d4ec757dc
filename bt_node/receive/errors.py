"""What can go wrong on the way from the wire to the spool."""

from __future__ import annotations

import errno
from pathlib import PurePath

from bt_node.domain.errors import Alarm, Reject, Retry
from bt_node.receive import statuses


class ListenError(Alarm):
    """The listener cannot have its address: the port is taken, forbidden, or the host is not ours."""

    code = "cannot-listen"

    def __init__(self, host: str, port: int, cause: OSError) -> None:
        self.host, self.port = host, port
        if cause.errno == errno.EADDRINUSE:
            message = f"Port {port} on {host} is already in use."
            remedy = "Stop the other program or change [listener] port."
        elif cause.errno == errno.EACCES:
            message = f"Port {port} on {host} needs more rights than this process has."
            remedy = "Choose a [listener] port of 1024 or above."
        else:
            message = f"Cannot listen on port {port} of {host}: {cause.strerror or type(cause).__name__}."
            remedy = "Check [listener] host and port."
        super().__init__(message, remedy=remedy)


class SpoolWriteError(Retry):
    """The disk did not take a file; nothing of it is left behind."""

    code = "spool-write"

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"The spool did not take a file: {detail}.")


class SpoolFullError(SpoolWriteError):
    """Less space is free than [storage] min_free_mib."""

    code = "spool-full"

    def __init__(self, free_mib: float, wanted_mib: float) -> None:
        self.free_mib, self.wanted_mib = free_mib, wanted_mib
        super().__init__(f"{free_mib:.0f} MiB free, {wanted_mib:.0f} MiB must be")


class SpoolGoneError(SpoolWriteError):
    """The spool's marker is not there any more: what lies at its path now is not the spool."""

    code = "spool-gone"

    def __init__(self, mark: PurePath) -> None:
        self.mark = mark
        super().__init__("its marker file is gone, is the disk mounted?")


class WrongSpoolError(Alarm):
    """The job book knows received files, and the folder that is said to be the spool has none of them."""

    code = "wrong-spool"

    def __init__(self, root: PurePath, mark: PurePath) -> None:
        super().__init__(
            f"{root} is not the spool that the job book knows: it has no marker file {mark.name}, and none of the "
            "files received last.",
            remedy=f"Mount the right disk, or mend [storage] spool. If its files are lost for good: touch {mark}",
        )


class EncodingError(Reject):
    """Bytes that are no DICOM data set of the transfer syntax they came in."""

    code = "encoding"

    def __init__(self, detail: str, position: int) -> None:
        self.position = position
        super().__init__(f"The data set cannot be read at byte {position}: {detail}.")


class StoreRefusedError(Reject):
    """A C-STORE that is answered with a failure status.

    Attributes:
        status: PS3.4 Table B.2-1 or a general status of PS3.7.
        comment: Error Comment (0000,0902); facts and UIDs only, no patient data.
        offending: tags for Offending Element (0000,0901).
    """

    code = "store-refused"

    def __init__(self, status: int, comment: str, offending: tuple[int, ...] = ()) -> None:
        self.status, self.comment, self.offending = status, comment, offending
        super().__init__(f"0x{status:04X} {comment}")


class DifferentObjectError(StoreRefusedError):
    """Another object already bears this SOPInstanceUID (PS3.5 9: a UID names one object for ever)."""

    code = "different-object"

    def __init__(self) -> None:
        super().__init__(
            statuses.DUPLICATE_SOP_INSTANCE, "a different object with this SOPInstanceUID is kept", (0x00080018,)
        )
