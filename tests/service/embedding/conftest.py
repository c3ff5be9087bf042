"""`text_witness`, which is beside the tests of the encoders, is importable here."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "clip_vision"))
