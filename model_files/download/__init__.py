"""Download published files whole and checked, or not at all. Needs no torch."""

from .fetch import Downloaded, Manner
from .published_file import check_request, download, file_name

__all__ = ["Downloaded", "Manner", "check_request", "download", "file_name"]
