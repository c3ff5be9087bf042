"""Write the English words of the nodes, which come from their schemas: `python dev.py locales`."""

import json
from pathlib import Path
from typing import Any

if __package__:
    from .help_pages import import_pack
    from .stages import ROOT
else:  # run as a script
    from help_pages import import_pack
    from stages import ROOT

FOLDER = ROOT / "locales"
ENGLISH = FOLDER / "en" / "nodeDefs.json"


def node_infos() -> list[dict[str, Any]]:
    """What ComfyUI tells its frontend about each node."""
    from image_prompt.nodes import NODES
    from image_prompt.nodes.folders import register_folders

    register_folders()  # some inputs list files
    return [node.GET_NODE_INFO_V1() for node in NODES]


def inputs_of(info: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """{name: (type, options)}"""
    return {**info["input"].get("required", {}), **info["input"].get("optional", {})}


def schema_words() -> dict[str, dict[str, Any]]:
    """What the schemas of the nodes say, as the frontend looks for translations: by the id of the node."""
    return {info["name"]: _words(info) for info in node_infos()}


def _words(info: dict[str, Any]) -> dict[str, Any]:
    outputs = enumerate(zip(info["output_name"], info["output_tooltips"], strict=True))
    return {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": {
            name: {"name": options.get("display_name", name), "tooltip": options["tooltip"]}
            for name, (_, options) in inputs_of(info).items()
        },
        "outputs": {str(place): {"name": name, "tooltip": tooltip} for place, (name, tooltip) in outputs},
    }


def write(path: Path, words: dict[str, Any]) -> None:
    path.write_text(as_json(words), encoding="utf-8", newline="\n")


def as_json(words: dict[str, Any]) -> str:
    """The text of a file in `locales/`, whatever language it is in."""
    return json.dumps(words, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def main() -> None:
    import_pack()
    write(ENGLISH, schema_words())


if __name__ == "__main__":
    main()
