"""Answer the command "serve": embeddings over HTTP, in the shape of OpenAI's API, until it is told to end."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..model_files.folders import Installation
from ..tensor_files import UnusableFile, printable
from .terminal import Answer

if TYPE_CHECKING:
    from ..service.embedding import EmbeddingService
    from ..service.http import LibraryAnswers

PORT = 8199


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--encoder",
        metavar="FILE|NAME|FOLDER",
        action="append",
        default=[],
        help="an encoder that may be asked for, by its path, the name of its file, or as CLIP ViT-L/14; a folder of "
        "Qwen3-VL-Embedding; may be repeated (default: the first full CLIP file)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1, this computer alone)")
    parser.add_argument("--port", type=int, default=PORT, help=f"0 for any that is free (default: {PORT})")
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a name that this computer may be called by, beside localhost and its addresses; may be repeated",
    )
    parser.add_argument("--device", default="auto", help="such as cpu or cuda:1 (default: a GPU with room, or the CPU)")
    parser.add_argument("--dtype", default="auto", help="fp32, fp16 or bf16 (default: what suits the device)")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="inputs at once (default: 32)")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="threads that read pictures (default: one for each core, 4 at most)"
    )
    parser.add_argument(
        "--unload-after", type=float, metavar="SECONDS", help="let go of an encoder that nobody has asked for so long"
    )


def answer(options: argparse.Namespace, where: Installation) -> Answer:
    from ..references.packages import load

    load("aiohttp", "Serving embeddings over HTTP")
    from ..service.embedding import EmbeddingService, FileModels
    from ..service.http import Limits, standalone_handlers
    from ..service.http.server import run

    if not options.host.strip():
        raise ValueError("--host is empty: give an address of this computer, such as 127.0.0.1.")
    _check_port(options.port)
    _check_names(options.allow_host)
    _check_place(options.device, options.dtype)
    models = FileModels(_named(options.encoder, where), options.device, options.dtype)
    with EmbeddingService(
        models, batch_size=options.batch_size, workers=options.workers, unload_after=options.unload_after
    ) as service:
        hosts = frozenset[str](options.allow_host)
        rows = standalone_handlers(service, limits=Limits(), hosts=lambda: hosts, libraries=_libraries(where, service))
        run(rows, options.host, options.port, lambda address: _tell(address, options.host, service.names()))
        return Answer(service.info(), ["Ended."])


def _named(given: Sequence[str], where: Installation) -> dict[str, Path]:
    """The encoders by the names of their files and folders. ValueError if two have the same name."""
    named: dict[str, Path] = {}
    for each in given or [None]:
        path = _path(each, where)
        name = path.name if each is None or not os.path.exists(each) else Path(os.path.abspath(each)).name
        if named.setdefault(name, path) != path:
            raise ValueError(
                f"Two of the encoders are called {name}, and they are asked for by these names: give one of them by a "
                "link with another name."
            )
    return named


def _path(given: str | None, where: Installation) -> Path:
    """Raises a ValueError if there is no encoder that can be served."""
    from ..model_files import read_header
    from ..model_files.index import identify
    from ..references.vision_language.folder import is_vision_language
    from .references.encoders import find

    if given is not None and os.path.isdir(given):
        if not is_vision_language(given):
            raise ValueError(f"{printable(given)} is no folder of a Qwen3-VL: its config.json does not say so.")
        return Path(given)
    path = find(given, where)
    try:
        identity = identify(read_header(path), path.name)
        problem = identity.problem or ("" if identity.kind == "encoder" else "It is something else.")
    except UnusableFile as error:
        problem = str(error)
    if problem:
        raise ValueError(f"{path} is no encoder that can be served. {problem}")
    return path


def _libraries(where: Installation, service: EmbeddingService) -> LibraryAnswers | None:
    """Those of the ComfyUI that was found; None without one."""
    from ..references.search.kept import KeptLibraries
    from ..service.http import LibraryAnswers
    from ..service.http.queries import embedded_by
    from .references.places import all_libraries

    if where.private is None:
        return None
    folder = all_libraries(where)
    kept = KeptLibraries(lambda: folder)
    return LibraryAnswers(kept.names, lambda name: kept.look(name)[1], kept.open, embedded_by(service))


def _check_port(port: int) -> None:
    if not 0 <= port <= 65535:
        raise ValueError(f"There is no port {port}: give one from 1 to 65535, or 0 for any that is free.")


def _check_place(device: str, dtype: str) -> None:
    """Say at once what would be said when an encoder is loaded for the first request."""
    from ..clip_vision.dtypes import best_dtype
    from ..tensor_files.placement import find_device, find_dtype

    found = find_device(device)
    find_dtype(dtype, best_dtype(found))


def _check_names(hosts: Sequence[str]) -> None:
    from ..service.http.guard import is_name

    if wrong := [each for each in hosts if not is_name(each)]:
        raise ValueError(
            f"--allow-host is {printable(wrong[0])!r}: give a name alone, such as box.lan, without http:// and without "
            "a port."
        )


def _tell(address: str, host: str, names: Sequence[str]) -> None:
    from ..service.http.server import is_loopback

    open_to = "" if is_loopback(host) else " There is no authentication: whoever reaches this computer can use it."
    print(
        f"{', '.join(names)} at {address}/v1 for clients of OpenAI. Ctrl-C ends it.{open_to}",
        file=sys.stderr,
        flush=True,
    )
