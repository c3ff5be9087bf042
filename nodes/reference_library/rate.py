"""The node that rates pictures of a library."""

from comfy_api.latest import io

from .. import input_checks
from ..display import said
from ..sockets import CATEGORY
from .add import RATINGS, whole_rating
from .adding import existing_writer
from .libraries import fingerprint, may_be_opened, names


class RateInLibrary(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptRateInLibrary",
            display_name="Rate in Reference Library",
            category=CATEGORY,
            description="Rates pictures of a reference library as good or bad. Nearest References can prefer the good "
            "ones and leave out the bad ones, and Advise counts what good ones were made with.",
            search_aliases=["rating", "favourite", "favorite", "like", "feedback", "score", "reference library"],
            inputs=[
                io.Combo.Input("library", options=names(), tooltip="The library with the pictures."),
                io.String.Input(
                    "paths",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="The paths of the pictures in the library, one on each line: the output paths of Nearest "
                    "References or Add to Reference Library, or typed.",
                ),
                io.Int.Input(
                    "rating",
                    default=1,
                    min=RATINGS[0],
                    max=RATINGS[1],
                    optional=True,
                    tooltip="1: good, 0: not rated, -1: bad.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="report", tooltip="How many pictures were rated."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, library: str | None = None, **_: object) -> str:
        """Another one once something else has rated: the same rating again is a change then."""
        return fingerprint(library)

    @classmethod
    def validate_inputs(cls, library: str | None = None) -> bool | str:
        """Check the name before the prompt is queued, and not that it is listed."""
        return may_be_opened(library)

    @classmethod
    def execute(cls, library: str, paths: str = "", rating: int = 1) -> io.NodeOutput:
        input_checks.expect(paths, str, "paths", "connect the output paths of Nearest References, or type paths")
        rating = whole_rating(rating)
        listed = list(dict.fromkeys(line.strip() for line in paths.splitlines() if line.strip()))
        if not listed:
            raise ValueError("No paths are given: connect the output paths of Nearest References, or type them.")
        with existing_writer(library, listed) as (writer, pictures):
            for picture in pictures:
                writer.rate(picture.path, rating, picture.root)
        report = f"{len(pictures)} picture{'' if len(pictures) == 1 else 's'} of {library} rated {rating}"
        return io.NodeOutput(report, ui=said(report, cls.hidden))
