"""Embed the shards of a plan on a cluster of Ray: https://docs.ray.io/en/latest/data/batch_inference.html

A row of the dataset is the number of a shard. An actor holds one encoder and writes its own parts, so that only counts
reach this process, and what was done stays done when it is killed.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from ..packages import load
from . import actor
from .place import Place
from .plan import Plan
from .worker import Work

WHAT = "`embed --ray`"
PACKAGES = '"ray[data]" pyarrow'
STORE = 100 << 20  # bytes of the object store, through which only counts go
RETRIES = 3  # of an actor that was killed
PATIENCE = 10.0  # seconds for Ray's processes to end, and for a cluster to answer
LAST_PORT = 65535
QUIET = {  # read by Ray when it starts: it sends nothing to its makers, and writes no log to the terminal
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

STAYS = "The parts that are there stay: do the same again to go on."

OnProgress = Callable[[int, int], object]


@dataclass(frozen=True)
class Cluster:
    """What is asked of Ray.

    actors: how many hold an encoder; None for one, or one for each GPU
    address: of a cluster that runs; None to start one on this machine
    """

    actors: int | None = None
    address: str | None = None


@dataclass(frozen=True)
class Share:
    """What one actor gets: its threads on the CPU, or a GPU."""

    actors: int
    threads: int
    gpus: int


def check_installed() -> None:
    """ValueError if Ray is not installed, or cannot be imported: before anything is made for it."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), _environment():
        _import()


def embed_on_ray(
    place: Place,
    plan: Plan,
    encoder: Path,
    cluster: Cluster = Cluster(),
    *,
    on_progress: OnProgress = lambda done, total: None,
    on_start: Callable[[], object] = lambda: None,
) -> int:
    """Make the parts that are not there, and return how many were made.

    encoder: the path of its file or folder, on all machines
    on_progress: called with how many files are done, and how many there are
    on_start: called before Ray starts, which takes seconds

    Raises:
        ValueError: Ray is not installed, no cluster is at the address, or a part could not be made; others stay.
    """
    missing, total = place.missing(plan), len(plan.entries)
    if not missing:
        return 0
    done, made = total - sum(len(plan.of(number)) for number in missing), 0
    on_start()
    with _ray(cluster.address) as ray:
        share = _share(ray, cluster)
        on_progress(done, total)
        try:
            for row in _rows(ray, place, plan, encoder, share, missing):
                if row["error"]:
                    raise ValueError(f"{row['error']} {STAYS}")
                done, made = done + int(row["files"]), made + 1
                on_progress(done, total)
        except ray.exceptions.RayError as error:
            raise ValueError(
                f"A process of Ray that embeds pictures was ended again and again ({type(error).__name__}), as the "
                f"system does where memory is short: give fewer --actors. {STAYS}"
            ) from error
    return made


def _rows(ray: Any, place: Place, plan: Plan, encoder: Path, share: Share, missing: list[int]) -> Any:
    """{"files": how many, "error": a sentence} of each shard, in the order in which they are done."""
    _, data = _import()
    ray.cloudpickle.register_pickle_by_value(actor)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    work = Work(str(place.source), str(place.parts), str(encoder), "auto" if share.gpus else "cpu", share.threads)
    root = Path(__file__).parents[2]
    package = __name__.removesuffix(".references.bulk.on_ray")
    shards = data.from_items([{"shard": number} for number in missing], override_num_blocks=len(missing))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a later Ray leaves out, `_retries` does too
        return shards.map_batches(
            actor.Actor,
            fn_constructor_args=(package, str(root), asdict(work)),
            batch_size=1,
            compute=data.ActorPoolStrategy(size=share.actors),
            num_cpus=share.threads,
            num_gpus=share.gpus,
            **_retries(shards.map_batches),
        ).iter_rows()


def _import() -> tuple[Any, Any]:
    """ray and ray.data. ValueError if one is missing, or cannot be imported."""
    return load("ray", WHAT, PACKAGES), load("ray.data", WHAT, PACKAGES)


def _retries(map_batches: Callable[..., Any]) -> dict[str, int]:
    """How often an actor that is killed is started again, where Ray can be told: else it does so for ever."""
    can_tell = any(each.kind is each.VAR_KEYWORD for each in signature(map_batches).parameters.values())
    return {"max_restarts": RETRIES, "max_task_retries": RETRIES} if can_tell else {}


def _share(ray: Any, cluster: Cluster) -> Share:
    """What each actor gets of a cluster. ValueError if there are not enough GPUs or cores for so many."""
    import torch

    there: dict[str, float] = ray.cluster_resources()
    gpus, cpus = int(there.get("GPU", 0)), int(there.get("CPU", 1))
    actors = cluster.actors or gpus or 1
    most, what = (gpus, "GPU") if gpus else (cpus, "core")
    if actors > most:
        raise ValueError(
            f"{actors} actors need a {what} each, and there {'is' if most == 1 else 'are'} {most:,}: give --actors "
            f"{most} or fewer."
        )
    if gpus:
        return Share(actors, 1, 1)
    largest = max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])
    most = largest if cluster.address else min(largest, torch.get_num_threads())  # alone it computes as the plain loop
    return Share(actors, max(1, min(cpus // actors, most)), 0)


# ------------------------------------------------------------------------------------------------------------ processes


@contextmanager
def _ray(address: str | None) -> Generator[Any]:
    """Ray, connected or started; what was started is ended. ValueError if it is not installed, or cannot be reached."""
    with ExitStack() as stack:
        nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
        stack.enter_context(redirect_stdout(nowhere))  # of this process, to which Ray writes of those that it lost
        stack.enter_context(_environment())
        ray, _ = _import()
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True))
        others = {each.pid for each in load("psutil", WHAT).Process().children(recursive=True)}
        stack.callback(_end, ray, others)
        with _no_native_words():
            _start(ray, address, folder)
        yield ray


def _start(ray: Any, address: str | None, folder: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        local = {"include_dashboard": False, "object_store_memory": STORE, "_temp_dir": folder}
        ray.init(address="local", **local, **quiet)
        return
    try:
        _knock(address)
        ray.init(address=address, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())[:200]
        raise ValueError(
            f"No cluster of Ray answers at {address!r} ({why}). `ray start --head` starts one and says its address."
        ) from error


def _knock(address: str) -> None:
    """Connect once to HOST:PORT: where nothing answers, Ray tries for minutes. OSError says why none does."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        if len(port) > len(str(LAST_PORT)) or int(port) > LAST_PORT:
            raise ValueError(f"a port is a number up to {LAST_PORT}")
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()


def _end(ray: Any, others: set[int]) -> None:
    """Leave the cluster, and end the processes that were started here. others: children that were there before"""
    psutil = load("psutil", WHAT)  # comes with Ray
    ours = [each for each in psutil.Process().children(recursive=True) if each.pid not in others]
    ray.shutdown()
    _, alive = psutil.wait_procs(ours, PATIENCE)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, PATIENCE)


@contextmanager
def _environment() -> Generator[None]:
    before = {name: os.environ.get(name) for name in QUIET}
    os.environ.update(QUIET)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _no_native_words() -> Generator[None]:
    """Leave out what is written to stderr, but by Python."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
