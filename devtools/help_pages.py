"""Write the help pages of the nodes of other packs, which come from their rows: `python dev.py help`."""

import importlib.util
import os
import sys

if __package__:
    from .stages import ROOT
else:  # run as a script
    from stages import ROOT

FOLDER = ROOT / "js" / "docs"


def import_pack() -> None:
    """Import ComfyUI for the CPU, and the pack as `image_prompt`."""
    sys.path.insert(0, os.environ["COMFYUI_PATH"])
    import comfy.options

    comfy.options.enable_args_parsing(False)
    from comfy.cli_args import args

    args.cpu = True
    spec = importlib.util.spec_from_file_location(
        "image_prompt", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec and spec.loader
    sys.modules["image_prompt"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def pages() -> dict[str, str]:
    """The page of each node, by its id."""
    from image_prompt.nodes.compat.help import help_page
    from image_prompt.nodes.compat.table import PACKS

    return {row.id: help_page(row) for pack in PACKS for row in pack.rows}


def main() -> None:
    import_pack()
    for id, page in pages().items():
        (FOLDER / f"{id}.md").write_text(page, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
