"""Small random encoders of transformers, for every known encoder; `witness` is importable beside the tests."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield
