"""The command line: `python path/to/this/folder paths`, or from the folder above `python -m image_prompt paths`."""

import importlib.util
import sys
from pathlib import Path

NAME = "image_prompt"


def import_pack() -> str:
    """Import the pack and return its name.

    Python started with the path of a folder does not import it as a package, but puts it on sys.path: undo that first.
    """
    if __package__:
        return __package__
    root = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != root]
    spec = importlib.util.spec_from_file_location(NAME, root / "__init__.py", submodule_search_locations=[str(root)])
    assert spec and spec.loader
    sys.modules[NAME] = pack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pack)
    return NAME


if __name__ == "__main__":
    started = f"-m {__package__}" if __package__ else sys.argv[0]
    sys.exit(importlib.import_module(f"{import_pack()}.command_line").main(program=f"python {started}"))
