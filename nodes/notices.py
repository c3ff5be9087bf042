"""Tell the browser that queued a prompt which node failed, why, and what would help: js/notices.js shows it there."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar, cast

from comfy_api.latest import io
from comfy_execution.utils import get_executing_context

from .folders import ADAPTER_FOLDER, ENCODER_FOLDER, adapter_place, prompt_server
from .loading.model_library import missing_file
from .remedies import explained_remedies

EVENT = "image-prompt.notices"
LONGEST = 4096  # characters of the name of a file with its folders
PLACES: Mapping[str, tuple[str, Callable[[str], tuple[str, str]]]] = {  # input -> kind of its files, folder and name
    "adapter_name": ("adapter", adapter_place),
    "ipadapter_file": ("adapter", lambda name: (ADAPTER_FOLDER, name)),
    "encoder_name": ("encoder", lambda name: (ENCODER_FOLDER, name)),
    "clip_name": ("encoder", lambda name: (ENCODER_FOLDER, name)),
}

Method = TypeVar("Method", bound=Callable[..., Any])


def telling(method: Method) -> Method:
    """What a node does, and that it tells the browser where it fails. The error is raised on."""

    @wraps(method)
    def told(*given: Any, **named: Any) -> Any:
        try:
            return method(*given, **named)
        except ValueError as error:
            tell(error)
            raise

    return cast(Method, told)


def telling_node(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """The class of a node that tells the browser where it fails."""
    does: Any = node.execute
    return type(node.__name__, (node,), {"execute": classmethod(telling(does.__func__)), "__module__": node.__module__})


def tell(error: ValueError) -> None:
    """Send the message of an error of the node that runs now, if a browser waits for it."""
    server, running = prompt_server(), get_executing_context()
    if server is not None and server.client_id is not None and running is not None:
        where = {"prompt_id": running.prompt_id, "node": running.node_id}
        server.send_sync(EVENT, where | explained_remedies(error), server.client_id)


def missing(input: str, name: str) -> dict[str, Any]:
    """What to do about a file that is not there; nothing where the input is none of those that list such files.

    name: as the input lists files

    Raises:
        ValueError: none of them is given, or the name is longer than that of a file.
    """
    if not input or not name:
        raise ValueError("Say which input of a node lists the file, and its name: input=...&name=...")
    if len(name) > LONGEST:
        raise ValueError(f"The name has {len(name):,} characters, and no file has more than {LONGEST}.")
    if input not in PLACES:
        return {}
    kind, place = PLACES[input]
    return explained_remedies(missing_file(kind, *place(name)))
