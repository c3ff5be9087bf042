"""Make the helpers beside the tests of model files importable."""

import sys
from pathlib import Path

MODEL_FILES = Path(__file__).parents[1] / "model_files"
sys.path += [str(MODEL_FILES), *(str(path) for path in sorted(MODEL_FILES.iterdir()) if path.is_dir())]
