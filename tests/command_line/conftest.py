"""Make the helpers beside the tests of model files importable."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
MODEL_FILES = TESTS / "model_files"
sys.path.append(str(TESTS / "references" / "vision_language"))
sys.path += [str(MODEL_FILES), *(str(path) for path in sorted(MODEL_FILES.iterdir()) if path.is_dir())]
