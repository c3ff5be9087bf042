"""`text_witness` and `tiny_qwen3_vl`, which are beside the tests of encoders, are importable here."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
sys.path += [str(TESTS / "clip_vision"), str(TESTS / "references" / "vision_language")]
