"""The node that tells what the pictures of a library were made with."""

from typing import Any

from comfy_api.latest import io

from ...references.metadata import Advice, advise
from ...references.search import Searchable
from ...references.search.finding import pictures_of, search, well_rated
from .. import input_checks
from ..display import said
from ..embeddings.pictures import as_embedding
from ..sockets import CATEGORY, EmbeddingType
from .libraries import fingerprint, may_be_opened, names, opened

MOST = 500  # pictures
VALUES = 5  # of one thing that are told
SOURCES = 3  # pictures that are named for each


class AdviseFromLibrary(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptAdvise",
            display_name="Advise from Reference Library",
            category=CATEGORY,
            description="Counts what the nearest or best rated pictures of a reference library were made with: model, "
            "LoRAs, sampler, CFG, weights of image prompts. It names the pictures that it counts, and learns nothing.",
            search_aliases=[
                "recommend settings",
                "which lora",
                "generation parameters",
                "metadata",
                "statistics",
                "prompt metadata",
                "reference library",
            ],
            inputs=[
                io.Combo.Input("library", options=names(), tooltip="The library with the pictures."),
                EmbeddingType.Input(
                    "query",
                    optional=True,
                    tooltip="A text or a picture: the pictures nearest to it count, without those rated -1, and those "
                    "rated 1 come first. Without it, all pictures rated 1 count, the newest first.",
                ),
                io.Int.Input(
                    "k", default=20, min=1, max=MOST, optional=True, tooltip="How many pictures count at most."
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="table", tooltip="What they were made with, how often, and by which pictures it is so."
                ),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, library: str | None = None, **_: object) -> str:
        return fingerprint(library)

    @classmethod
    def validate_inputs(cls, library: str | None = None) -> bool | str:
        """Check the name before the prompt is queued, and not that it is listed."""
        return may_be_opened(library)

    @classmethod
    def execute(cls, library: str, query: Any = None, k: int = 20) -> io.NodeOutput:
        known = opened(library)
        k = input_checks.whole(k, 1, MOST, "k")
        text = advice_text(advise(pictures_of(known, _counted(known, query, k))))
        return io.NodeOutput(text, ui=said(text, cls.hidden))


def _counted(library: Searchable, query: Any, k: int) -> list[int]:
    if query is not None:
        return [id for id, _ in search(library, as_embedding(query, "query"), k, prefer_rated=True)]
    if found := well_rated(library, k):
        return found
    raise ValueError(
        f"No picture of the library {library.name} is rated 1: connect a query, or rate some with Rate in Reference "
        "Library."
    )


def advice_text(advice: Advice) -> str:
    """The counts as lines, the commonest values of each thing first."""
    lines = [f"{advice.described} of {advice.pictures} pictures say what they were made with"]
    for topic in advice.topics:
        lines.append(f"{topic.title}:")
        for value in topic.values[:VALUES]:
            weights = value.weights
            spread = "" if weights is None else f", weight {weights[1]:g} ({weights[0]:g} to {weights[2]:g})"
            liked = f", {value.liked} rated good" if value.liked else ""
            more = f" and {value.count - SOURCES} more" if value.count > SOURCES else ""
            sources = ", ".join(value.sources[:SOURCES]) + more
            lines.append(f"  {value.value}: {value.count} of {topic.said}{spread}{liked} ({sources})")
    return "\n".join(lines)
