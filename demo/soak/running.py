"""Queue a turn of prompts, stop those that are to be stopped, and see what becomes of each. Standard library only."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devtools.comfyui import DIRECT, Server, ServerError

from .plan import Turn
from .prompts import Fate, Prompt

POLL, AGAIN = 0.05, 0.5  # seconds between looks, and between two requests to stop
LONGEST = 600.0  # seconds for one prompt; a prompt of the soak needs a few


@dataclass(frozen=True)
class Outcome:
    """What became of a prompt, what was said, what its nodes showed, and how many of them did not run anew."""

    prompt: Prompt
    fate: Fate
    said: str = ""
    outputs: Mapping[str, Any] | None = None
    cached: int = 0

    @property
    def as_expected(self) -> bool:
        return self.fate is self.prompt.fate and self.prompt.says in self.said


def run_turn(server: Server, turn: Turn) -> list[Outcome]:
    """Queue all prompts of a turn at once, and follow them to their ends."""
    queued = [(prompt, *queue(server, prompt)) for prompt in turn]
    for prompt, id, _ in queued:
        if id and prompt.fate is Fate.DELETED:
            post(server, "/queue", {"delete": [id]})
    return [follow(server, prompt, id) if id else Outcome(prompt, Fate.REFUSED, said) for prompt, id, said in queued]


def queue(server: Server, prompt: Prompt) -> tuple[str, str]:
    """Its id, or "" and why it was refused."""
    try:
        return server.queue(prompt.workflow), ""
    except ServerError as error:
        return "", str(error)


def follow(server: Server, prompt: Prompt, id: str) -> Outcome:
    """Wait for the end of a queued prompt, and stop it if that is to be."""
    deadline, stop = time.monotonic() + LONGEST, None
    while time.monotonic() < deadline:
        server.check_alive()
        place = whereabouts(server, id)
        if place == "gone":
            return ended(server, prompt, id)
        if place == "running" and prompt.fate is Fate.CANCELLED:
            stop = stop or time.monotonic() + prompt.after
            if time.monotonic() >= stop:
                post(server, "/interrupt", {"prompt_id": id})
                stop = time.monotonic() + AGAIN  # one that comes before the first node is forgotten
        time.sleep(POLL)
    return Outcome(prompt, Fate.LOST, f"It did not end within {LONGEST:.0f} s.")


def whereabouts(server: Server, id: str) -> str:
    """Whether it waits, runs, or is gone from the queue."""
    queue = server.get("/queue")
    for place, name in (("running", "queue_running"), ("waiting", "queue_pending")):
        if any(item[1] == id for item in queue[name]):
            return place
    return "gone"


def ended(server: Server, prompt: Prompt, id: str) -> Outcome:
    """What the history says of a prompt that is no longer in the queue."""
    entry = server.get(f"/history/{id}").get(id)
    if entry is None:
        if prompt.fate is Fate.DELETED:
            return Outcome(prompt, Fate.DELETED)
        return Outcome(prompt, Fate.LOST, "It is neither in the queue nor in the history.")
    messages = dict(entry["status"]["messages"])
    if "execution_interrupted" in messages:
        return Outcome(prompt, Fate.CANCELLED)
    if "execution_error" in messages:
        return Outcome(prompt, Fate.FAILED, messages["execution_error"]["exception_message"])
    if "execution_success" in messages and entry["status"]["completed"]:
        cached = len(messages["execution_cached"]["nodes"])
        return Outcome(prompt, Fate.SUCCESS, outputs=entry["outputs"], cached=cached)
    return Outcome(prompt, Fate.LOST, f"The history has no end of it: {', '.join(messages)}.")


def pictures(server: Server, outcome: Outcome) -> list[bytes]:
    """The PNG files of the pictures that a prompt saved or showed."""
    shown = [image for output in (outcome.outputs or {}).values() for image in output.get("images", [])]
    return [server.fetch(f"/view?{urllib.parse.urlencode(image)}") for image in shown]


def clear_history(server: Server) -> None:
    """ComfyUI keeps its last 10,000 prompts."""
    post(server, "/history", {"clear": True})


def forget(server: Server) -> None:
    """Let ComfyUI let go of models and of what nodes gave, once it is idle."""
    post(server, "/free", {"unload_models": True, "free_memory": True})


def trim(server: Server) -> None:
    """Let a server with trimming.py return what was freed to the system."""
    post(server, "/soak/trim", {})


def post(server: Server, path: str, body: Mapping[str, object]) -> None:
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with DIRECT.open(request, timeout=60):
        pass
