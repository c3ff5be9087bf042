"""Mend prompts that use the nodes of cubiq/ComfyUI_IPAdapter_plus, as old files and client programs send them.

ComfyUI refuses a prompt without all required inputs, also those that a node has got after a program was written, and
values that are no longer in a list. It hands prompts to this module before it checks them.
"""

import logging
from collections.abc import Mapping
from typing import Any

from ..folders import prompt_server
from .inputs import Input, today
from .node import Node
from .registration import compat_rows

ENCODER, ENCODER_V1 = "IPAdapterEncoder", "ImagePromptEncoderV1"  # one id in files, two nodes with other inputs
V1_INPUT = "image_1"  # which only the older of the two has


def register_prompt_mender() -> None:
    """Let every prompt be mended before ComfyUI checks it, if there is a server."""
    add = getattr(prompt_server(), "add_on_prompt_handler", None)
    if add is not None:
        add(mended)


def mended(request: Any) -> Any:
    """The body of a request to queue a prompt, with the nodes of the other pack as they are today.

    The nodes are changed in place, since what is saved into pictures is the prompt of the request. A node that is not
    as ComfyUI expects it is left as it is: ComfyUI answers it.
    """
    rows = compat_rows()
    prompt = request.get("prompt") if isinstance(request, dict) else None
    for node in prompt.values() if isinstance(prompt, dict) else ():
        try:
            mend(node, rows)
        except Exception:  # what other programs send is not worth their prompt
            logging.getLogger(__name__).warning("A node of a prompt was not mended.", exc_info=True)
    return request


def mend(node: Any, rows: Mapping[str, Node]) -> None:
    """Give a node of a prompt its id, its absent values and today's names, if it is of one of these rows."""
    kind = node.get("class_type") if isinstance(node, dict) else None
    if not isinstance(kind, str) or kind not in rows:
        return
    if node.get("inputs") in (None, []):  # some languages write an empty object as a list
        node["inputs"] = {}
    inputs = node["inputs"]
    if not isinstance(inputs, dict):
        return
    if kind == ENCODER and V1_INPUT in inputs:
        kind = node["class_type"] = ENCODER_V1
    for given in rows[kind].inputs:
        _mend_input(inputs, given)


def _mend_input(inputs: dict[str, Any], given: Input) -> None:
    if inputs.get(given.name) is None:
        inputs.pop(given.name, None)  # some programs send null for what is not connected
        if has_default(given):
            inputs[given.name] = given.default
    elif given.name == "weight_type":
        inputs[given.name] = _today(inputs[given.name], given)


def has_default(given: Input) -> bool:
    """Whether files and prompts that are older than this input go without it. All name the file that they load."""
    return not (given.optional or given.is_socket or callable(given.type))


def _today(name: Any, given: Input) -> Any:
    """The name of a weight type today, unless the node takes the old one itself."""
    choices = given.type if isinstance(given.type, tuple) else ()
    return today(name) if name not in choices and today(name) in choices else name
