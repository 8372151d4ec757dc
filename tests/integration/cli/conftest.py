"""The job book and spool of one node."""

from node_bench import bench

__all__ = ["bench"]
