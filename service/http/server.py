"""A server of its own for handlers, which runs until it is told to end."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from .handlers import Handler

PATIENCE = 5.0  # seconds for requests that are being answered when it is to end


def run(rows: Sequence[tuple[str, str, Handler]], host: str, port: int, on_listening: Callable[[str], object]) -> None:
    """Answer requests until Ctrl-C or SIGTERM. To be called in the main thread.

    port: 0 for any that is free
    on_listening: called with the address once requests are answered

    Raises:
        ValueError: it cannot listen there, and why.
    """
    asyncio.run(_run(rows, host, port, on_listening))


def is_loopback(host: str) -> bool:
    """Whether only programs of this computer reach what listens there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _run(
    rows: Sequence[tuple[str, str, Handler]], host: str, port: int, on_listening: Callable[[str], object]
) -> None:
    from aiohttp import web

    application = web.Application()
    application.add_routes([web.route(*row) for row in rows])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=PATIENCE)
    with _told_to_end() as end:
        await runner.setup()
        try:
            await _listen(web.TCPSite(runner, host, port), host, port)
            on_listening(_address(runner.addresses[0]))
            await end.wait()
        finally:
            await runner.cleanup()


async def _listen(site: Any, host: str, port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        raise ValueError(_why(error, host, port)) from error


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use, perhaps by another `serve`: give another --port, or 0 for a free one."
    if error.errno == errno.EACCES:
        return f"Port {port} is kept for the system: give a --port from 1024 to 65535."
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"This computer has no address {host}: give its own as --host, such as 127.0.0.1."
    return f"It cannot listen on port {port} of {host}: {error.strerror or error}."


def _address(found: Sequence[Any]) -> str:
    """host, port, ... of a socket -> its address."""
    host, port = found[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _told_to_end() -> Generator[asyncio.Event]:
    """An event that is set by Ctrl-C and by SIGTERM."""
    loop, end = asyncio.get_running_loop(), asyncio.Event()

    def told(*_: object) -> None:
        loop.call_soon_threadsafe(end.set)

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
