"""What the files of core's CLIP hold."""

import comfy.sd

from ...tensor_files import Header, UnusableFile, read_header


def headers_of(clip: comfy.sd.CLIP) -> dict[str, Header]:
    """The headers of the files of a CLIP by their paths; none if its loader does not tell them, or one was moved."""
    _, given, *_ = clip.patcher.cached_patcher_init or (None, ())
    paths = [given[0]] if given and isinstance(given[0], str) else list(given[0]) if given else []
    try:
        return {path: read_header(path) for path in paths}
    except (OSError, UnusableFile, TypeError):  # moved meanwhile, or of a loader that keeps something else there
        return {}
