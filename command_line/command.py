"""Find, identify, check and fetch the model files of image prompts, rewrite workflows of another node pack, search
libraries of reference pictures, and serve embeddings to other programs.

exit codes: 0 done; 1 failed, or a file is not usable, with the reason; 2 wrong arguments; 3 done, but some pictures
could not be read; 130 stopped
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..model_files.catalogue import Catalogue
from ..model_files.folders import Installation
from ..tensor_files import printable
from .parser import Parser
from .references import add_commands
from .serve import add_arguments
from .terminal import Answer, said_of

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
YES = {"1", "on", "yes", "true"}


def main(arguments: Sequence[str] | None = None, program: str = "python -m image_prompt") -> int:
    options = _parser(program).parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for characters that the terminal does not have
    try:
        answer: Answer = options.run(options)
        _print(answer, options.json)
    except OSError as error:
        return _fail(printable(said_of(error)), 1, options.json)
    except ValueError as error:
        return _fail(printable(" ".join(str(error).split())), 1, options.json)
    except ImportError as error:
        return _fail(f"{error}. Start this with the Python of your ComfyUI, or install it there.", 1, options.json)
    except KeyboardInterrupt as stop:
        return _fail(" ".join(["\nStopped.", *map(str, stop.args)]), 130, options.json)
    except (RuntimeError, MemoryError, LookupError, sqlite3.Error) as error:
        return _fail(_explained(error), 1, options.json)
    return answer.code


def _explained(error: Exception) -> str:
    """A sentence for what none of the commands expects, and what to do about it."""
    what = printable(" ".join(str(error.args[0] if error.args else "").split()), 500)
    if isinstance(error, MemoryError) or "out of memory" in what.lower():
        return "There is not enough memory. Close other programs that need it, then do the same again."
    if isinstance(error, KeyError) and " " in what:  # said by us, and not only the key
        return f"{what} It may have been removed meanwhile: look with `search`, then do the same again."
    if isinstance(error, sqlite3.Error):
        return f"A database could not be used ({what}). `library check NAME` says whether a library is whole."
    return f"{type(error).__name__}: {what}. Do the same again; if it is said again, report it with the command."


def _print(answer: Answer, as_json: bool) -> None:
    _write(json.dumps(answer.data, indent=1) if as_json else "\n".join(answer.lines).rstrip())


def _write(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(text: str, code: int, as_json: bool) -> int:
    print(text, file=sys.stderr)
    if as_json:
        _write(json.dumps({"error": text.strip()}, indent=1))
    return code


# ----------------------------------------------------------------------------------------------------------- commands
# Each command imports what it needs. Only files that the index does not know, and the CUDA row of `status`, need torch.


def _paths(options: argparse.Namespace) -> Answer:
    from .paths import answer

    where = _where(options)
    return answer(where, _read_catalogue(where, options))


def _identify(options: argparse.Namespace) -> Answer:
    if options.verify:
        from .verify import answer as verified

        return verified(options.files, options.picture)
    if options.picture:
        raise ValueError("--picture says what an encoder looks at when it is compared: give --verify as well.")
    from .identify import answer

    if _is_named(options):
        where = _where(options, needed=False)
        return answer(options.files, lambda: where)
    return answer(options.files, lambda: _where(options, needed=False))


def _status(options: argparse.Namespace) -> Answer:
    from .status import answer

    return answer(_where(options))


def _catalogue(options: argparse.Namespace) -> Answer:
    from .catalogue import answer

    return answer(_read_catalogue(_where(options, needed=False), options))


def _get(options: argparse.Namespace) -> Answer:
    from .get import Wish, answer

    where = _where(options)
    offline = options.offline or any(os.environ.get(name, "").strip().lower() in YES for name in OFFLINE)
    wish = Wish(options.name, options.yes, options.allow_unverified, offline)
    return answer(wish, where, _read_catalogue(where, options))


def _migrate(options: argparse.Namespace) -> Answer:
    from .migrate import Wish, answer

    return answer(Wish(Path(options.file), options.base, options.force))


def _serve(options: argparse.Namespace) -> Answer:
    from .serve import answer

    return answer(options, _where(options, needed=False))


def _read_catalogue(where: Installation, options: argparse.Namespace) -> Catalogue:
    """The pack's own catalogue, with the user's files and those given on the command line."""
    return Catalogue.load(*where.catalogues, *map(Path, options.catalogue))


def _is_named(options: argparse.Namespace) -> bool:
    """Whether the command line says where to look."""
    return options.comfyui is not None or options.models is not None or bool(options.extra_model_paths)


def _where(options: argparse.Namespace, needed: bool = True) -> Installation:
    root = options.comfyui if options.comfyui is not None else options.models
    return Installation.find(root, options.extra_model_paths, needed)


# ---------------------------------------------------------------------------------------------------------- arguments


def _parser(program: str) -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog=program, description=__doc__, formatter_class=raw)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version of the pack and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], Answer], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        made.add_argument("--json", action="store_true", help="print JSON, for programs")
        made.set_defaults(run=run)
        return made

    paths = command("paths", _paths, "which files are found, missing, misplaced, or unusable and why, and all folders")
    identify = command(
        "identify", _identify, "what files are, and which files made a picture; exit code 1 if one is not usable"
    )
    status = command("status", _status, "versions, optional parts, folders and the index")
    catalogue = command("catalogue", _catalogue, "the published files, with sizes and licences")
    get = command("get", _get, "download a file of the catalogue into its folder, after asking")
    migrate = command(
        "migrate",
        _migrate,
        "rewrite a workflow or API prompt with nodes of ComfyUI_IPAdapter_plus to ours, in a new file",
    )
    identify.add_argument(
        "files", nargs="+", metavar="FILE", help="a model file, or a PNG picture that was made with some"
    )
    identify.add_argument(
        "--verify",
        action="store_true",
        help="compute with an encoder in transformers too, or with an IP-Adapter in diffusers, and show the "
        "differences; exit code 1 if they are more than rounding",
    )
    identify.add_argument(
        "--picture", metavar="FILE", help="with --verify: what an encoder looks at (default: a pattern)"
    )
    get.add_argument(
        "name", metavar="NAME", help="the name of an entry of the catalogue, of its file, or of its repository"
    )
    get.add_argument("--yes", action="store_true", help="agree to the licence and the size without being asked")
    get.add_argument("--allow-unverified", action="store_true", help="download even if no SHA-256 is known")
    get.add_argument(
        "--offline",
        action="store_true",
        help=f"only say what to do by hand, as with {' or '.join(OFFLINE)} in the environment",
    )
    migrate.add_argument("file", metavar="FILE", help="a JSON file, or a PNG picture that ComfyUI saved")
    migrate.add_argument(
        "--base",
        choices=("SD1.5", "SDXL"),
        help="the model, where neither the adapter's name nor the checkpoint's says it",
    )
    migrate.add_argument("--force", action="store_true", help="overwrite a file of an earlier run")
    for each in (paths, catalogue, get):
        each.add_argument(
            "--catalogue", metavar="FILE", action="append", default=[], help="entries to add, in JSON; may be repeated"
        )
    libraries = add_commands(command, _where)
    serve = command("serve", _serve, "answer requests for embeddings over HTTP, as clients of OpenAI send them")
    add_arguments(serve)
    for each in (paths, identify, status, catalogue, get, *libraries, serve):
        _add_places(each)
    return parser


class _Version(argparse.Action):
    """`--version`, which reads the version only when it is asked for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from ..model_files.environment import pack_version

        _write(f"image-prompt {pack_version() or 'of unknown version'}")
        parser.exit()


def _add_places(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where", "Default: the ComfyUI that contains this pack, or one in a usual place.")
    root = group.add_mutually_exclusive_group()
    root.add_argument("--comfyui", metavar="PATH", help="the folder of a ComfyUI, or of a program that contains one")
    root.add_argument("--models", metavar="PATH", help="a folder of models, with loras, clip_vision and others in it")
    group.add_argument(
        "--extra-model-paths",
        metavar="FILE",
        action="append",
        default=[],
        help="a file like extra_model_paths.yaml; may be repeated",
    )
