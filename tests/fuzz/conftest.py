"""Make the fuzzer's helpers importable, and those for hostile files and old graphs, from which it begins."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parent / "tensor_files"), str(HERE.parent / "migration")]
