"""The arguments of the commands of reference libraries. What a command needs is imported when it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Protocol

from ...model_files.folders import Installation
from ..terminal import Answer

EXPORTS = ("parquet", "numpy", "lance")
ENCODER = "FILE|FOLDER|NAME"
GIVEN = (
    "the encoder to compute with: the path of its file, or of a folder of Qwen3-VL-Embedding, the name of either, or a "
    "name such as CLIP ViT-L/14"
)
OWN = "the library's own, or else the first full CLIP file"
COMPARISON = (
    "Compare how well encoders find the pictures of a folder by their labels. Each label is asked for once. Recall at "
    "k is the share of labels of which a picture is among the first k that are found; chance is that of a random "
    "order. Where all pictures have a caption, as NAME.txt beside NAME.png or as the text of a list, the captions are "
    "searched instead of the pictures too."
)
DIGITS = 18  # that a number has at most
Run = Callable[[argparse.Namespace], Answer]


class AddCommand(Protocol):
    """Adds a command, which `run` answers, and returns its parser."""

    def __call__(self, name: str, run: Run, text: str) -> argparse.ArgumentParser: ...


def add_commands(
    command: AddCommand, find: Callable[[argparse.Namespace], Installation]
) -> Sequence[argparse.ArgumentParser]:
    """Add all commands of libraries, and return the parsers that say where to look.

    find: gives the installation that was named
    """

    def run(module: str) -> Run:
        return lambda options: import_module(f".{module}", __package__).answer(options, find(options))

    embed = command("embed", run("filling.embed"), "embed the pictures of a folder, or of a list, into a library")
    search = command("search", run("searching.search"), "find the pictures of a library nearest to a text or a picture")
    similar = command("similar", run("searching.similar"), "how alike two pictures or texts are, as a cosine in -1..1")
    duplicates = command(
        "duplicates", run("libraries.duplicates"), "show which pictures are the same or alike; nothing is deleted"
    )
    advise = command(
        "advise", run("searching.advice"), "what the nearest, or the best rated, pictures of a library were made with"
    )
    rate = command("rate", run("libraries.rating"), "rate pictures of a library as good (1), bad (-1), or neither (0)")
    compare = command(
        "compare", run("searching.compare"), "compare how well encoders find the pictures of a folder by their labels"
    )
    library = command(
        "library", run("libraries.library"), "list, describe, check, compact, export and connect libraries"
    )
    embed.add_argument("source", metavar="FOLDER|LIST.json", help="a folder with pictures, or a list of them, in JSON")
    embed.add_argument("--library", metavar="NAME", required=True, dest="name", help="made if there is none yet")
    embed.add_argument("--prune", action="store_true", help="remove entries whose files are not there any more")
    _add_max_pixels(embed)
    _add_machines(embed)
    for each in (search, advise, rate):
        each.add_argument("name", metavar="NAME", help="the name of the library")
    for each, needed in ((search, True), (advise, False)):
        _add_query(each, needed)
    similar.add_argument("a", metavar="A", help="a picture, or a text; text:... where a text looks like a path")
    similar.add_argument("b", metavar="B", help="the same")
    duplicates.add_argument("name", metavar="NAME|FOLDER", help="the name of a library, or a folder with pictures")
    duplicates.add_argument(
        "--threshold", type=float, default=0.9, help="the cosine from which pictures are similar (default: 0.9)"
    )
    rate.add_argument("paths", metavar="PATH", nargs="+", help="as `search` shows them, or paths of the files")
    rate.add_argument("rating", type=int, choices=(-1, 0, 1), help="-1 bad, 0 neither, 1 good")
    for each in (embed, similar, duplicates, advise):
        each.add_argument("--encoder", metavar=ENCODER, help=f"{GIVEN} (default: {OWN})")
    search.add_argument(
        "--encoder",
        metavar=ENCODER,
        action="append",
        default=[],
        help=f"{GIVEN} (default: {OWN}); with --fuse it may be repeated: first of NAME, then of each other library",
    )
    search.add_argument(
        "--fuse",
        metavar="OTHER",
        action="append",
        default=[],
        help="ask another library of the same pictures too, which was made with another encoder, and rank the pictures "
        "by their ranks in both, 1 / (60 + rank) from each; pictures are the same if their files are. --minimum is a "
        "score of NAME then. May be repeated",
    )
    _add_comparison(compare)
    return [embed, search, similar, duplicates, advise, rate, compare, *_add_actions(library)]


def _add_comparison(parser: argparse.ArgumentParser) -> None:
    parser.description = COMPARISON
    parser.add_argument("source", metavar="FOLDER|LIST.json", help="a folder with pictures, or a list of them, in JSON")
    parser.add_argument(
        "--encoder",
        metavar=ENCODER,
        action="append",
        default=[],
        help=f"{GIVEN} (default: the first full CLIP file); may be repeated, and then all of them are fused too",
    )
    labels = parser.add_mutually_exclusive_group()
    labels.add_argument(
        "--labels",
        metavar="FILE.json",
        help='{"path from the folder on": "label"} (default: the label is the first sub-folder in the path)',
    )
    labels.add_argument(
        "--pattern",
        metavar="REGEX",
        help='the label is the first group of this in the name of a file, such as "^([a-z]+)_" for red_1.png',
    )
    parser.add_argument(
        "--template",
        metavar="T",
        default="a photo of {}",
        help="the query of a label, with {} for it (default: a photo of {})",
    )
    _add_max_pixels(parser)


def _add_max_pixels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-pixels",
        type=int,
        metavar="N",
        help="vision-language models make larger pictures smaller than this: 262144 takes a seventh of the time of the "
        "default, 1843200; other encoders have a size of their own",
    )


def _add_machines(embed: argparse.ArgumentParser) -> None:
    group = embed.add_argument_group(
        "several machines", "They see one folder with the pictures, and one for their parts."
    )
    how = group.add_mutually_exclusive_group()
    how.add_argument(
        "--shard", metavar="i/n", type=_share, help="do the i-th of n shares of the work; 1/1 does all that is not done"
    )
    how.add_argument("--ray", action="store_true", help="share the work on a cluster of Ray, or on this machine")
    group.add_argument(
        "--parts",
        metavar="FOLDER",
        type=_folder,
        help="for the plan and the parts (default: beside the libraries of the ComfyUI)",
    )
    group.add_argument("--shard-size", type=_count, metavar="N", help="how many pictures a part has (default: 256)")
    group.add_argument(
        "--actors", type=_count, metavar="N", help="with --ray: how many load the encoder (default: one, or one a GPU)"
    )
    group.add_argument("--address", help="with --ray: of a cluster that runs, such as auto or 10.0.0.1:6379")


def _folder(text: str) -> str:
    if text:
        return text
    raise argparse.ArgumentTypeError("it is empty: give the path of a folder")


def _share(text: str) -> tuple[int, int]:
    i, slash, n = text.partition("/")
    if slash and _is_number(i) and _is_number(n) and 1 <= int(i) <= int(n):
        return int(i), int(n)
    raise argparse.ArgumentTypeError(
        f"{text[:80]!r} is no share of the work: write 1/3, 2/3 and 3/3 for three machines"
    )


def _count(text: str) -> int:
    if _is_number(text) and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text[:80]!r} is no number from 1 on")


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= DIGITS


def _add_query(parser: argparse.ArgumentParser, needed: bool) -> None:
    query = parser.add_mutually_exclusive_group(required=needed)
    query.add_argument("--text", metavar="T", help="what they should show")
    query.add_argument("--image", metavar="F", help="a picture that they should be like")
    parser.add_argument("-k", type=int, metavar="K", help="at most so many pictures (default: 10)")
    parser.add_argument("--minimum", type=float, metavar="S", help="no picture with a lower score, a cosine in -1..1")
    parser.add_argument("--folder", metavar="PATH", help="only pictures below this folder, as the library has it")


def _add_actions(library: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    actions = library.add_subparsers(metavar="ACTION", required=True, dest="action")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        made.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON, for programs")
        return made

    listed = action("list", "all libraries")
    others = {
        name: action(name, text)
        for name, text in (
            ("info", "what a library holds, and which files could not be read"),
            ("check", "whether a library is whole; exit code 1 if it is not"),
            ("compact", "write the vectors anew without those of removed pictures"),
            ("export", "write a library as parquet, as numpy's files, or into a LanceDB table"),
            ("connect", "search a LanceDB table, such as a team's, as a library that is only read"),
            ("remove", "remove pictures from a library; the files of the pictures stay"),
        )
    }
    for each in others.values():
        each.add_argument("name", metavar="NAME", help="the name of the library")
    others["check"].add_argument("--repair", action="store_true", help="put right what can be put right")
    export = others["export"]
    export.add_argument("format", choices=EXPORTS, help="what to write; parquet needs pyarrow, lance needs lancedb too")
    export.add_argument("target", metavar="FOLDER|URI", help="a new folder; for lance one, or an address as s3://...")
    export.add_argument("--force", action="store_true", help="replace an earlier export")
    export.add_argument("--table", help="the name of the LanceDB table (default: that of the library)")
    connect = others["connect"]
    connect.add_argument("uri", metavar="FOLDER|URI", help="where the table is: a folder, or an address as s3://...")
    connect.add_argument("table", metavar="TABLE", help="its name")
    connect.add_argument(
        "--root",
        metavar="NUMBER=FOLDER",
        action="append",
        default=[],
        help="where the pictures of a root of the table are on this machine; may be repeated",
    )
    for each in (export, connect):
        each.add_argument(
            "--storage-option",
            metavar="KEY=VARIABLE",
            action="append",
            default=[],
            help="an option of the store, and the environment variable that holds its value; may be repeated",
        )
    others["remove"].add_argument("paths", metavar="PATH", nargs="+", help="as `search` shows them, or of the files")
    return [listed, *others.values()]
