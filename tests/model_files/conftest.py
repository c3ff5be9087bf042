"""Make the helpers beside the tests, and in the folders of other tests, importable."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE), *(str(path) for path in sorted(HERE.iterdir()) if path.is_dir() and path.name[0] != "_")]
