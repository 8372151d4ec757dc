"""The real Orthanc of the session."""

from orthanc import orthanc

__all__ = ["orthanc"]
