"""`text_witness` and `tiny_qwen3_vl`, which are beside the tests of encoders, are importable here."""

import sys
from concurrent.futures import Future
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
sys.path += [str(TESTS / "clip_vision"), str(TESTS / "references" / "vision_language")]


@pytest.fixture(autouse=True)
def nothing_is_waited_for_without_end(monkeypatch):
    """A request that is forgotten fails its test."""
    result = Future.result
    monkeypatch.setattr(Future, "result", lambda self, timeout=60: result(self, timeout))
