"""Packages that only some of the commands need. Standard library only."""

from __future__ import annotations

import importlib
from typing import Any


def load(module: str, what: str, install: str = "") -> Any:
    """Import a module of an optional package.

    what: needs it, the begin of a sentence
    install: what pip is to install; by default the package

    Raises:
        ValueError: it is not installed, or cannot be imported, and what to do.
    """
    package = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != package:
            raise _broken(package, what, install, error) from error
        raise ValueError(
            f"{what} needs {package}, which is not installed: `python -m pip install {install or package}`, with the "
            "Python of your ComfyUI. Everything else works without it."
        ) from error
    except Exception as error:  # of a package of another version, or built for another numpy, anything is raised
        raise _broken(package, what, install, error) from error


def _broken(package: str, what: str, install: str, error: Exception) -> ValueError:
    brings = f"`python -m pip install {install}` brings what it needs, and " if install else ""
    return ValueError(
        f"{what} needs {package}, which is installed and cannot be imported ({type(error).__name__}: {error}): "
        f"{brings}`python -m pip check` says which packages do not fit together."
    )
