"""The job book and spool of one node."""

from node_bench import bench
from orthanc import orthanc

__all__ = ["bench", "orthanc"]
