"""What Ray sends to its processes, as it stands here: there, the pack cannot be imported by its name yet.

A process of Ray imports the pack from its folder, which may be called anything. So nothing else is imported here.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any


class Actor:
    """Holds one worker. Its answers are small: the pictures and the vectors never leave it.

    package, root: the name of the pack, and its folder
    work: the fields of a `worker.Work`
    """

    def __init__(self, package: str, root: str, work: dict[str, Any]) -> None:
        self.worker: Any = None
        self.error = ""
        try:
            module = self._module(package, Path(root))
            self.worker = module.Worker(module.Work(**work))
        except Exception as error:  # raised here, Ray would start the process again and again
            self.error = self._said(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """{"shard": numbers} to {"files": how many each has, "error": a sentence, which is empty if all is well}"""
        answers = [self._embed(int(number)) for number in batch["shard"]]
        return {"files": [files for files, _ in answers], "error": [error for _, error in answers]}

    def _embed(self, number: int) -> tuple[int, str]:
        if self.error:
            return 0, self.error
        try:
            return self.worker.embed(number), ""
        except Exception as error:
            return 0, self._said(error)

    @staticmethod
    def _said(error: Exception) -> str:
        text = " ".join(str(error).split())
        return text if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {text}"

    @staticmethod
    def _module(package: str, root: Path) -> Any:
        if package not in sys.modules:
            file = root / "__init__.py"
            if file.exists():  # a folder of custom nodes
                spec = importlib.util.spec_from_file_location(package, file, submodule_search_locations=[str(root)])
                assert spec and spec.loader
                sys.modules[package] = pack = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(pack)
        return importlib.import_module(f"{package}.references.bulk.worker")
