"""Find the file that is needed, or say why there is none and what to do."""

from .checks import Matcher, full_name
from .explanation import about, explain, named
from .face_packs import pack_folder, pack_names
from .report import Report, Row, table
from .requirement import HOMES, Need, Resolution
from .resolution import PATIENCE, glance, resolve
from .support import APPLIED_TO, adapter_words
from .wording import identity_words

__all__ = [
    "APPLIED_TO",
    "HOMES",
    "PATIENCE",
    "Matcher",
    "Need",
    "Report",
    "Resolution",
    "Row",
    "about",
    "adapter_words",
    "explain",
    "full_name",
    "glance",
    "identity_words",
    "named",
    "pack_folder",
    "pack_names",
    "resolve",
    "table",
]
