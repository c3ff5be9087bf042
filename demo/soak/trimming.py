"""A node file for ComfyUI that returns to the system what was freed, when it is asked: `POST /soak/trim`.

glibc keeps much of what was freed in small pieces between others. How much differs from run to run, and hides a leak.
"""

import ctypes
import gc

from aiohttp import web
from server import PromptServer

NODE_CLASS_MAPPINGS: dict[str, type] = {}


@PromptServer.instance.routes.post("/soak/trim")
async def trim(_: web.Request) -> web.Response:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return web.json_response({})
