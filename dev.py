#!/usr/bin/env python3
"""Set up, demo, test, serve and measure the pack. Standard library only; Linux, macOS and Windows.

    python dev.py demo                 reference pictures steer a small trained model in a real, headless ComfyUI
    python dev.py test                 every test, in three processes, and which ten took longest
    python dev.py test --fast [args]   the quick tests of every module, for every small change
    python dev.py test [pytest args]   the tests that the arguments select, in one process
    python dev.py serve [ComfyUI args] ComfyUI with the pack, for the browser, at port 8200, or --port N
    python dev.py serve --demo         the same with small models and pictures, with which every template runs
    python dev.py bench [names] [args] run the scripts of benchmarks/ with these names, or all; the arguments, which
                                       begin with "-", go to them. With --compare COMMIT, measure the nodes in
                                       turns with those of that commit
    python dev.py fuzz [readers] [args] give the readers of foreign files inputs that a fuzzer makes; --help says more
    python dev.py matrix [versions]    the demo and the tests of the nodes on every ComfyUI that the pack supports, and
                                       how older ones refuse it. With --names, only see in seconds whether they have
                                       the names that the pack takes from them
    python dev.py soak [--prompts N] [--seed N] [--long]
                                       1,000 prompts of every kind on one server, or 10,000: it must not leak, lose
                                       one, or change a picture. Linux alone
    python dev.py help                 write the help pages of the nodes of other packs again, from their rows
    python dev.py locales              write the English words of the nodes again, from their schemas
    python dev.py pictures [names]     take the pictures of the README, the help and the templates again, in a browser
    python dev.py blueprints           write the blueprints again, from the table in devtools/blueprints.py
    python dev.py release              build the archive for the registry, the wheel and the notes of the last commit,
                                       and try them; with patch, minor, major or X.Y.Z, first commit that version

Everything is made in .dev/, or where IMAGE_PROMPT_DEV says (delete it to start over): a virtual environment, the
packages of tests/requirements.txt, and ComfyUI. With --comfyui PATH, or COMFYUI_PATH, an existing ComfyUI is used
instead: nothing is written into it, and what its own requirements.txt asks for is added to the virtual environment.
--comfyui git+URL@BRANCH clones a branch or tag once, and uses that.
With --frontend VERSION, `serve` and `test` use another version of ComfyUI's frontend than the pinned one.
With --python PATH, that interpreter is used as it is: it must have all packages already.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from pathlib import Path

if sys.version_info < (3, 11):  # the pack itself runs on 3.10; the pinned packages do not
    sys.exit(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: start dev.py with a newer one.")

from demo import playground
from devtools.comfyui import DEMO_NODES, PACK, Server, ServerError, add_world, is_taken, prepare_base
from devtools.processes import call, catch_signals
from devtools.setup import has_accelerator, more_packages, set_up
from devtools.sources import chosen, frontend
from devtools.stages import DEV, ROOT, Progress, StageError, log_file, tail

LOG_LINES = 25
THREADS = "1"  # of tiny models: more only wait for each other
PORT = 8200  # ComfyUI's own is 8188
PROCESSES = "3"  # of tests: one more than small machines have cores, because tests of a browser often wait
TOGETHER = ["-n", PROCESSES, "--dist", "loadgroup", "--no-loadscope-reorder", "--durations=10"]  # see tests/conftest.py
FAST = ["-m", "not slow and not browser and not gpu and not nightly"]


def demo(options: argparse.Namespace, rest: list[str]) -> int:
    from demo.demo import run_demo
    from demo.full_clip import write_full_clip

    python, comfyui = set_up(options)
    base = prepare_base(DEV / "demo", PACK | DEMO_NODES)
    add_world(base)
    write_full_clip(base / "models")
    server = make_server(python, comfyui, base, "demo", "sqlite:///:memory:", rest)
    server.environment["OMP_NUM_THREADS"] = THREADS
    with server:
        try:
            run_demo(server, python)
        except ServerError as error:
            raise StageError("ComfyUI", str(error), server.log) from error
    return 0


def test(options: argparse.Namespace, rest: list[str]) -> int:
    parser = options_of("test")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--frontend", metavar="VERSION")
    given, rest = parser.parse_known_args(rest)
    python, comfyui = set_up(options)
    environment = {"COMFYUI_PATH": str(comfyui), "OMP_NUM_THREADS": "1"}
    if not options.comfyui:  # else nothing is written into it
        environment["PYTHONDONTWRITEBYTECODE"] = ""  # or each of many processes would compile all of it again
    if given.frontend:
        environment["IMAGE_PROMPT_FRONTEND"] = str(frontend(python, given.frontend))
    if given.fast:
        rest = [*TOGETHER, *FAST, *rest]
    return call([python, "-m", "pytest", *(rest or TOGETHER)], environment)


def serve(options: argparse.Namespace, rest: list[str]) -> int:
    parser = options_of("serve")
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--frontend", metavar="VERSION")
    parser.add_argument("--port", type=int, default=PORT)
    given, rest = parser.parse_known_args(rest)
    if not 0 < given.port < 65536:
        raise StageError("ComfyUI", f"--port {given.port}: a port is 1 to 65535.")
    if is_taken(given.port):
        raise StageError("ComfyUI", f"something listens at port {given.port} already: choose another with --port N.")
    python, comfyui = set_up(options)
    if given.demo:
        base = playground.prepare(DEV / "serve-demo")
        playground.fill_once(base, python)
    else:
        base = prepare_base(DEV / "serve", PACK)
        if not comfyui.is_relative_to(DEV) and (comfyui / "models").is_dir():
            rest = ["--models-directory", str(comfyui / "models"), *rest]
    if given.frontend:
        rest = ["--front-end-root", str(frontend(python, given.frontend)), *rest]
    database = f"sqlite:///{(base / 'user' / 'comfyui.db').as_posix()}"
    server = make_server(python, comfyui, base, base.name, database, rest, given.port)
    if given.demo:
        server.environment["OMP_NUM_THREADS"] = THREADS
    with server:
        progress = Progress("ComfyUI", server.log)
        try:
            server.wait_until_ready(progress)
            progress.done("ready")
            address = playground.start(server) if given.demo else server.url
            print(f"{address}\nmodels, input and output: {base}\nlog: {server.log}\nCtrl-C stops it.", flush=True)
            server.process.wait()
            server.check_alive()
        except ServerError as error:
            raise StageError("ComfyUI", str(error), server.log) from error
    return 0


def bench(options: argparse.Namespace, rest: list[str]) -> int:
    scripts = [path for path in sorted((ROOT / "benchmarks").glob("*.py")) if not path.name.startswith("_")]
    names = list(itertools.takewhile(lambda word: not word.startswith("-"), rest))
    known = [path.stem for path in scripts]
    if unknown := [name for name in names if name not in known]:
        raise StageError("bench", f"no benchmark {', '.join(unknown)}. There are: {', '.join(known)}.")
    chosen = [path for path in scripts if not names or path.stem in names]
    python, comfyui = set_up(options)
    if any(word.split("=")[0] == "--compare" for word in rest):
        environment = {"COMFYUI_PATH": str(comfyui), "IMAGE_PROMPT_DEV": str(DEV)}
        return call([python, ROOT / "benchmarks" / "_compare.py", *rest], environment)
    codes = []
    for script in chosen:
        print(f"\n== {script.stem}", flush=True)
        codes.append(call([python, script, *rest[len(names) :]], {"COMFYUI_PATH": str(comfyui)}))
    return int(any(codes))  # a signal is a negative code


def matrix(options: argparse.Namespace, rest: list[str]) -> int:
    from demo.demo import draw_references, sample
    from devtools.matrix import run_matrix, run_names

    parser = options_of("matrix")
    parser.add_argument("versions", nargs="*")
    parser.add_argument("--names", action="store_true")
    given = parser.parse_args(rest)
    releases = chosen(given.versions)
    options.comfyui = None
    python, _ = set_up(options)
    if given.names:
        return run_names(python, releases)

    def pictures(server: Server) -> dict[str, bytes]:
        draw_references(server, python)
        return dict(sample(server))

    return run_matrix(python, pictures, releases)


def fuzz(options: argparse.Namespace, rest: list[str]) -> int:
    python, comfyui = set_up(options)
    fuzzer = more_packages(python, "fuzz", ROOT / "tests" / "fuzz" / "requirements.txt")
    environment = {
        "COMFYUI_PATH": str(comfyui),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(fuzzer),
        "PYTHONHASHSEED": "0",
    }
    return call([python, ROOT / "tests" / "fuzz" / "run.py", "--keep", DEV / "fuzz" / "findings", *rest], environment)


def soak(options: argparse.Namespace, rest: list[str]) -> int:
    from demo.soak import command

    parser = options_of("soak")
    parser.add_argument("--prompts", type=int, default=command.PROMPTS)
    parser.add_argument("--long", action="store_const", dest="prompts", const=command.LONG)
    parser.add_argument("--seed", type=int, default=0)
    given, rest = parser.parse_known_args(rest)
    command.check(given.prompts)
    python, comfyui = set_up(options)
    base = playground.prepare(DEV / "soak")
    playground.fill_once(base, python)
    server = make_server(python, comfyui, base, "soak", "sqlite:///:memory:", [*command.ARGUMENTS, *rest])
    server.environment |= command.ENVIRONMENT
    return command.soak(server, given.prompts, given.seed)


def help(options: argparse.Namespace, rest: list[str]) -> int:
    return write_again("help_pages.py", options, rest)


def locales(options: argparse.Namespace, rest: list[str]) -> int:
    return write_again("locales.py", options, rest)


def pictures(options: argparse.Namespace, rest: list[str]) -> int:
    python, comfyui = set_up(options)
    environment = {"COMFYUI_PATH": str(comfyui), "OMP_NUM_THREADS": "1"}
    code = call([python, "-m", "demo.pictures", *rest], environment)
    return code or (0 if rest else call([python, "-m", "demo.cards"], environment))


def blueprints(options: argparse.Namespace, rest: list[str]) -> int:
    return write_again("blueprints.py", options, rest)


def release(options: argparse.Namespace, rest: list[str]) -> int:
    from demo.demo import draw_references, sample
    from devtools.release.release import raise_version, release

    if len(rest) > 1:
        raise StageError("release", f"takes one version or nothing, and got {' '.join(rest)}.")
    for wish in rest:
        raise_version(wish)
    python, comfyui = set_up(options)

    def pictures(server: Server) -> dict[str, bytes]:
        draw_references(server, python)
        return dict(sample(server))

    release(python, comfyui, pictures)
    return 0


def write_again(script: str, options: argparse.Namespace, rest: list[str]) -> int:
    if rest:
        raise StageError(options.command, f"takes no arguments, and got {' '.join(rest)}.")
    python, comfyui = set_up(options)
    return call([python, ROOT / "devtools" / script], {"COMFYUI_PATH": str(comfyui)})


def options_of(command: str) -> argparse.ArgumentParser:
    """A parser for options of one command. It takes these alone, spelled out: the rest is for what the command runs."""
    return argparse.ArgumentParser(prog=f"dev.py {command}", add_help=False, allow_abbrev=False)


def make_server(
    python: Path, comfyui: Path, base: Path, name: str, database: str, rest: list[str], port: int | None = None
) -> Server:
    for word in rest:
        if word.split("=")[0] in ("--port", "--listen"):
            raise StageError("ComfyUI", f"{word}: dev.py chooses the address, of 127.0.0.1 alone, and prints it.")
    arguments = ["--database-url", database, *([] if has_accelerator(python) else ["--cpu"]), *rest]
    return Server(comfyui, python, base, log_file(name), arguments, port=port)


COMMANDS = {
    "demo": demo,
    "test": test,
    "serve": serve,
    "bench": bench,
    "fuzz": fuzz,
    "matrix": matrix,
    "soak": soak,
    "help": help,
    "locales": locales,
    "pictures": pictures,
    "blueprints": blueprints,
    "release": release,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--comfyui", metavar="PATH or git+URL@BRANCH", default=os.environ.get("COMFYUI_PATH"))
    parser.add_argument("--python", metavar="PATH")
    options, rest = parser.parse_known_args()
    if options.comfyui:
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # nothing is written into it
    catch_signals()
    try:
        return COMMANDS[options.command](options, rest)
    except StageError as error:
        print(f"\nFailed at: {error.stage}\n{error.reason}", file=sys.stderr)
        if lines := tail(error.log, LOG_LINES):
            print(f"The end of {error.log}:\n  " + "\n  ".join(lines), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
