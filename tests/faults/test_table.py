"""Which test is about which fault of what: a missing one is seen here, and so is a place that writes and is not listed.

Files are written by `tensor_files.whole_files` where nothing else is said: features, `.ipadpt` files and the pictures
of a library by `new_file`; the index, the parts of libraries and rewritten workflows by `replaced_file`.
"""

import ast
from pathlib import Path

import pytest

from image_prompt.devtools.stages import ROOT

HERE = "faults/test_writers.py"
LIBRARY, FILLING, BULK = "references/library/test_changes.py", "references/filling/test_kills.py", "references/bulk"
DOWNLOAD, SERVERS, LOAD = "model_files/download/test_download.py", "faults/test_servers.py", "nodes/test_load.py"
KILLED, FULL, READ_ONLY, SEVERAL = (
    f"{HERE}::{name}"
    for name in ("test_killed", "test_full_disk", "test_read_only_folder", "test_several_processes_write_at_once")
)
CHANGED = f"{SERVERS}::test_a_model_file_that_changes_while_it_is_loaded"
WRITTEN = {  # what is written: {fault: the tests}
    "index": {"killed": [KILLED], "full disk": [FULL], "read-only folder": [READ_ONLY], "two at once": [SEVERAL]},
    "download": {
        "killed": [KILLED, f"{DOWNLOAD}::test_the_lock_of_a_dead_process_is_taken_over"],
        "full disk": [FULL, f"{DOWNLOAD}::test_a_disk_that_fills_up_leaves_a_part_that_can_be_taken_up"],
        "read-only folder": [READ_ONLY],
        "two at once": [f"{DOWNLOAD}::test_of_many_processes_at_once_none_spoils_the_file"],
    },
    "features, .ipadpt, pictures": {
        "killed": [KILLED],
        "full disk": [FULL],
        "read-only folder": [READ_ONLY],
        "two at once": [SEVERAL, f"{SERVERS}::test_two_servers_on_one_user_folder"],
    },
    "library": {
        "killed": [KILLED],
        "full disk": [FULL, f"{FILLING}::test_a_full_disk_in_the_database_loses_nothing"],
        "read-only folder": [READ_ONLY, f"{LIBRARY}::test_a_library_is_read_where_nothing_may_be_written"],
        "two at once": [SEVERAL, f"{LIBRARY}::test_only_one_writes"],
    },
    "filling of a library": {
        "killed": [f"{FILLING}::test_fifty_kills_leave_a_whole_library_and_change_no_byte_of_the_end", KILLED],
        "full disk": [f"{FILLING}::test_a_full_disk_at_any_write_loses_nothing", FULL],
        "read-only folder": [READ_ONLY],
        "two at once": [f"{LIBRARY}::test_only_one_writes"],
    },
    "parts of a filling by several machines": {
        "killed": [KILLED, f"{BULK}/test_ray_kills.py::test_a_killed_actor_is_started_again"],
        "full disk": [FULL, f"{BULK}/test_bulk.py::test_a_full_disk_leaves_the_parts_that_there_are"],
        "read-only folder": [READ_ONLY],
        "two at once": [f"{BULK}/test_machines.py::test_machines_that_race_and_are_killed_change_no_byte_of_the_end"],
    },
    "export": {
        "killed": [KILLED],
        "full disk": [FULL],
        "read-only folder": [READ_ONLY],
    },
    "rewritten workflow": {
        "killed": [KILLED],
        "full disk": [FULL],
        "read-only folder": [READ_ONLY],
    },
}
ALONE = {"export", "rewritten workflow"}  # of one command that a user starts: two at once are of no account
LOADED = {
    "replaced": [CHANGED, f"{LOAD}::test_a_loader_runs_again_when_its_file_was_replaced"],
    "cut": [CHANGED, f"{LOAD}::test_a_file_may_be_overwritten_and_cut_once_it_is_loaded"],
    "deleted": [CHANGED],
    "changed while it is read": ["tensor_files/test_weights.py::test_a_file_that_changes_while_it_is_read_is_refused"],
}
RUNNING = {
    "killed while sampling": [f"{SERVERS}::test_killed_while_sampling"],
    "two servers on one user folder": [f"{SERVERS}::test_two_servers_on_one_user_folder"],
}
FAULTS = {"killed", "full disk", "read-only folder", "two at once"}

PACKAGES = ("clip_vision", "command_line", "faces", "ip_adapter", "migration", "model_files", "nodes", "references")
PACKAGES += ("service", "standalone", "tensor_files")
WRITERS = {  # modules that change files by themselves, and not by `whole_files`
    "tensor_files/whole_files.py": "features, .ipadpt, pictures",
    "model_files/download/partial_download.py": "download",
    "model_files/index/index_cache.py": "index",  # moves that of an earlier version
    "references/bulk/place.py": "parts of a filling by several machines",
    "references/exports/arrays.py": "export",
    "references/exports/target.py": "export",
    "references/library/checking.py": "library",  # renames a damaged part
    "references/library/database.py": "library",
    "references/library/writer_lock.py": "library",
}
NOWHERE = {"references/bulk/on_ray.py"}  # opens os.devnull
RENAMES = {"link", "rename", "replace", "symlink", "truncate"}
WRITES = {"copy2", "copyfile", "copytree", "mkstemp", "write_bytes", "write_text"}


def cells() -> dict[str, list[str]]:
    written = {f"{what}: {fault}": tests for what, row in WRITTEN.items() for fault, tests in row.items()}
    return {**written, **LOADED, **RUNNING}


@pytest.mark.parametrize("cell", cells())
def test_each_fault_has_a_test(cell):
    for test in cells()[cell]:
        file, name = test.split("::")
        tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
        assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}, test


@pytest.mark.parametrize("what", WRITTEN)
def test_nothing_that_is_written_lacks_a_fault(what):
    assert WRITTEN[what].keys() == FAULTS - ({"two at once"} if what in ALONE else set())


def test_each_place_that_writes_is_listed():
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    found = {path.relative_to(ROOT).as_posix() for path in files if any(map(is_writing, calls(path)))}
    assert found - NOWHERE == WRITERS.keys()
    assert set(WRITERS.values()) <= WRITTEN.keys()


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]


def is_writing(call: ast.Call) -> bool:
    match call.func:
        case ast.Name("open") | ast.Attribute(ast.Name("os" | "io"), "open"):
            modes = [*call.args[1:2], *(each.value for each in call.keywords if each.arg == "mode")]
            return any(isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wxa+") for mode in modes)
        case ast.Attribute(ast.Name("os"), name):
            return name in RENAMES
        case ast.Attribute(ast.Name("sqlite3"), "connect"):
            return True
        case ast.Attribute(_, name):
            return name in WRITES
        case _:
            return False
