"""An object store on loopback for tests: moto's S3, in a process and with packages of its own. Standard library only.

It asks for older packages than ComfyUI and comfy-cli have, so it is installed in a folder of its own, where it is
missing.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from .browser import one_at_a_time
from .stages import DEV, ROOT, StageError, is_done, log_file, mark_done, run

PINS = ROOT / "tests" / "object_store_requirements.txt"
FOLDER = DEV / "object_store"
SERVER = """
import sys
sys.path.insert(0, sys.argv[1])
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def object_store(bucket: str) -> Iterator[str]:
    """The address of a store with an empty bucket, which is there as long as the context."""
    with one_at_a_time():
        packages()
    with (
        open(log_file("object store"), "wb") as log,
        subprocess.Popen(
            [sys.executable, "-c", SERVER, FOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        ) as process,
    ):
        assert process.stdin and process.stdout
        if not (port := process.stdout.readline().strip()):
            raise StageError("object store", "it did not start", log_file("object store"))
        address = f"http://127.0.0.1:{port.decode()}"
        urllib.request.urlopen(urllib.request.Request(f"{address}/{bucket}", method="PUT"), timeout=30).close()
        yield address
        process.stdin.close()  # ends it


def packages() -> None:
    digest = hashlib.sha256(PINS.read_bytes()).hexdigest()
    if not is_done("object_store", digest):
        options = ["--disable-pip-version-check", "--upgrade", "--no-deps", "--target", FOLDER, "-r", PINS]
        run("object store", [sys.executable, "-m", "pip", "install", *options])
        mark_done("object_store", digest)
