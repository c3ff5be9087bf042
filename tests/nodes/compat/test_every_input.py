"""Every input of every node of IPAdapter_plus changes what the node gives, or stands in a table that says why not."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import folder_paths
import pytest
import tiny
import torch
from comfy.model_patcher import ModelPatcher
from own_files import OWN, put_adapter, put_catalogue, put_encoder, put_face_lora

from image_prompt.demo.face_packs import write_pack
from image_prompt.devtools import published
from image_prompt.faces import FaceAnalyser
from image_prompt.nodes.compat.methods import loaders
from image_prompt.nodes.compat.node import Node, node_class
from image_prompt.nodes.compat.table import NODES
from image_prompt.nodes.loading import face_analyser

from .calls import World
from .face_world import PROJECTIONS, FaceWorld, Finder

EXCUSES: Mapping[str, str] = {  # input -> why it changes nothing, in every node that has it
    "encode_batch_size": "it says how many pictures are encoded at a time, not what becomes of them",
    "weight_kolors": "it is for Kolors FaceID, whose tokens go through the model's own projection of text",
}
EXCUSES_BY_PICTURE: Mapping[str, str] = {"combine_embeds": "each reference is for another picture"}


def excused(row: Node) -> set[str]:
    excuses = {**EXCUSES, **(EXCUSES_BY_PICTURE if row.by_picture else {})}
    return {each.name for each in row.inputs} & excuses.keys()


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


PICTURES, OTHERS, NEGATIVES = (random(2, 64, 80, 3, seed=seed) for seed in (1, 2, 3))
MASK, OTHER_MASK = (random(1, 64, 80, seed=seed) for seed in (4, 5))
PROMPTS = tiny.conditions("SD1.5", count=3)
SDXL = ("IPAdapterStyleComposition", "IPAdapterStyleCompositionBatch")  # what acts on no other model


def alternatives(base: Mapping[str, Any], **changes: Any) -> tuple[dict[str, Any], ...]:
    """A dict, and the same with one value changed each."""
    return ({**base}, *({**base, name: value} for name, value in changes.items()))


STRATEGY = {"weights": "1.0, 0.0", "timing": "linear", "frames": 8, "start_frame": 2, "end_frame": 7}
STRATEGY |= {"add_starting_frames": 1, "add_ending_frames": 1, "method": "full batch", "frame_count": 2}
STRATEGY_CHANGES = {"weights": "0.8, 0.1", "timing": "ease_in_out", "frames": 9, "start_frame": 3, "end_frame": 6}
STRATEGY_CHANGES |= {"add_starting_frames": 2, "add_ending_frames": 0, "method": "shift batches"}
REGION = {"image": [PICTURES], "attn_mask": [MASK], "weight": [0.8], "weight_type": ["linear"]}
REGION |= {"start_at": [0.2], "end_at": [0.8]}
REGIONS = alternatives(
    REGION,
    image=[OTHERS],
    attn_mask=[OTHER_MASK],
    weight=[0.5],
    weight_type=["ease in"],
    start_at=[0.6],
    end_at=[0.4],
)
TWO_REGIONS = {name: [*value, *REGIONS[1][name]] for name, value in REGION.items()}

BY_NAME: Mapping[str, tuple[Any, ...]] = {  # input -> its base value, and others
    "image": (PICTURES, OTHERS),
    "image_style": (PICTURES, OTHERS),
    "image_composition": (OTHERS, NEGATIVES),
    "image_negative": (None, NEGATIVES),
    "attn_mask": (None, MASK),
    "mask": (MASK, OTHER_MASK),
    "weight": (0.8, 0.5),
    "weight_style": (0.8, 0.5),
    "weight_composition": (0.8, 0.5),
    "weight_type": ("linear", "ease in"),
    "expand_style": (False, True),
    "combine_embeds": ("concat", "average"),
    "start_at": (0.2, 0.6),  # outcomes are those of the middle
    "end_at": (0.8, 0.4),
    "embeds_scaling": ("V only", "K+V"),
    "encode_batch_size": (0, 1),
    "weight_faceidv2": (1.0, 0.5),
    "weight_kolors": (1.0, 0.5),
    "faceid_v2": (True, False),
    "weight_v2": (1.0, 0.5),
    "layer_weights": ("", "3:0.5"),
    "style_boost": (1.0, 2.0),
    "composition_boost": (0.5, 1.0),
    "enhance_tiles": (2, 3),
    "enhance_ratio": (0.5, 0.3),
    "sharpening": (0.2, 0.8),
    "noise": (0.3, 0.6),
    "unfold_batch": (False, True),
    "ipadapter_params": (*REGIONS, TWO_REGIONS),
    # pictures
    "interpolation": ("LANCZOS", "BICUBIC"),
    "crop_position": ("top", "left"),
    "pad_around": (True, False),
    "type": ("fade", "gaussian"),
    "strength": (0.5, 0.8),
    "blur": (2, 6),
    "image_optional": (PICTURES, OTHERS),
    # embeds
    **{f"embed{number}": (random(2, 6, seed=number), random(2, 6, seed=10 + number)) for number in range(1, 6)},
    "filename_prefix": ("one", "other"),
    # frames
    **{name: (STRATEGY[name], value) for name, value in STRATEGY_CHANGES.items()},
    "weights_strategy": alternatives(STRATEGY, **STRATEGY_CHANGES),
    "weights_1": (0.2, 0.4, [0.2, 0.4]),
    "weights_2": (0.3, 0.6, [0.3, 0.6]),
    "prompt": ("a cat\na dog", "a cat\na bird"),
    # regions
    "image_weight": (0.8, 0.5, [0.8, 0.5]),
    "prompt_weight": (1.0, 2.0),
    "positive": (PROMPTS[0], PROMPTS[2]),
    "negative": (PROMPTS[1], PROMPTS[2]),
    **{f"params_{number}": REGIONS for number in range(1, 6)},
    # 2023
    "ipadapter_plus": (False, True),
    **{f"image_{number}": (random(1, 64, 80, 3, seed=20 + number), OTHERS[:1]) for number in range(1, 5)},
    **{f"weight_{number}": (0.9, 0.5) for number in range(1, 5)},
    # loaders
    "lora_strength": (0.6, 0.3, 0.0),
    "provider": ("CPU", "CUDA"),
    "model_name": ("buffalo_l", "antelopev2"),
    "ipadapter_file": ("tiny.safetensors", "another.safetensors"),
}
BY_ID: Mapping[str, Mapping[str, tuple[Any, ...]]] = {  # instead of these
    "IPAdapter": {"weight_type": ("standard", "prompt is more important", "style transfer")},
    "IPAdapterCombineEmbeds": {"method": ("concat", "average")},
    "IPAdapterWeights": {"method": ("full batch", "shift batches", "alternate batches")},
    "IPAdapterPromptScheduleFromWeightsStrategy": {
        "weights_strategy": alternatives(STRATEGY, frames=9, add_starting_frames=2, add_ending_frames=0, frame_count=3),
    },
    "IPAdapterLoadEmbeds": {"embeds": ("one.ipadpt", "saved/two.ipadpt [output]")},
    "IPAdapterSaveEmbeds": {"embeds": (random(2, 6, seed=1), random(2, 6, seed=2))},
    **dict.fromkeys(
        ("IPAdapterApply", "IPAdapterApplyFaceID", "IPAdapterApplyEncoded"),
        {"weight_type": ("original", "linear", "channel penalty")},
    ),
}
PER_PICTURE = ("weight", "weight_style", "weight_composition")  # inputs that take lists, one for each picture


def base_of(row: Node) -> str:
    return "SDXL" if row.id in SDXL else "SD1.5"


def reads_faces(row: Node) -> bool:
    return any(each.name == "insightface" for each in row.inputs)


@cache
def world(base: str, faces: bool = False) -> World:
    return FaceWorld(base, "plus") if faces else World(base, "plus")


def world_of(row: Node) -> World:
    return world(base_of(row), reads_faces(row))


def pipe(raw: Any, encoder: Any) -> dict[str, Any]:
    return {"ipadapter": {"file": "", "model": raw}, "clipvision": {"file": "", "model": encoder}}


@cache
def connected(base: str, faces: bool = False) -> Mapping[str, tuple[Any, ...]]:
    """What comes from other nodes: input -> its base value, and others. faces: whether the adapter reads them"""
    here = world(base, faces)
    other = tiny.encoder(width=32, projection=25, patch=56, size=224, seed=8)
    projection = PROJECTIONS["plus"] if faces else lambda context: published.resampler(context, 32, depth=1)
    file = tiny.file_for(here.model, projection, seed=6)
    version = {"faceidplusv2": True} if faces else {}
    pipes = [pipe({**raw, **version}, here.encoder) for raw in (here.wire, published.nested(file))]
    features, others, nobody = (here.features(each) for each in (PICTURES, OTHERS, NEGATIVES))
    advanced = next(row for row in NODES if row.id == "IPAdapterAdvanced")
    finders = Finder(), Finder(seed=1)
    (patched, _) = result(advanced, model=here.model, ipadapter=pipes[0], image=OTHERS, insightface=finders[0])
    return {
        "insightface": finders,
        "model": (here.model, patched),
        "ipadapter": tuple(pipes),
        "clip_vision": (None, other),  # beside that of the pipe
        "pos_embed": (features, others),
        "neg_embed": (None, nobody),
        "embeds": tuple(torch.stack(pair) for pair in ((features, nobody), (others, nobody), (features, others))),
    }


def values(row: Node) -> dict[str, tuple[Any, ...]]:
    """The base value of each input, and others."""
    wired, here = connected(base_of(row), reads_faces(row)), world_of(row)
    if row.id == "ImagePromptEncoderV1":  # which has no pipe
        wired = {"clip_vision": (here.encoder, wired["clip_vision"][1])}
    if row.id == "IPAdapterEncoder":  # for which all adapters that read the same are the same
        file = published.nested(tiny.base_file(here.model, embed=25))
        wired = {**wired, "ipadapter": (wired["ipadapter"][0], pipe(file, here.encoder))}
    known = {**BY_NAME, **wired, **BY_ID.get(row.id, {})}
    found = {each.name: known[each.name] for each in row.inputs}
    return {
        name: (*some, [0.8, 0.3]) if row.by_picture and name in PER_PICTURE else some for name, some in found.items()
    }


def result(row: Node, **inputs: Any) -> tuple[Any, ...]:
    node = node_class(row, "test")()
    return getattr(node, node.FUNCTION)(**inputs)


def outcome(row: Node, inputs: Mapping[str, Any]) -> Any:
    """What a node gives: what its model adds in each layer, or else its values, or the files that it writes.

    A strategy holds what was typed in, and is no outcome.
    """
    given = result(row, **inputs)
    if row.is_output:
        return _taken_files(Path(folder_paths.get_output_directory()))
    if isinstance(given[0], ModelPatcher) and row not in loaders.ROWS:
        here = world_of(row)
        return [each.out for each in here.calls(given[0], here.sigma(0.5), batch=2)]
    return [each for each, output in zip(given, row.outputs, strict=True) if output.type != "WEIGHTS_STRATEGY"]


def _taken_files(folder: Path) -> dict[str, Any]:
    """The embeds in the files of a folder, which is empty afterwards."""
    found = {path: torch.load(path) for path in folder.glob("*.ipadpt")}
    for path in found:
        path.unlink()
    return {path.name: embeds for path, embeds in found.items()}


def same(one: Any, other: Any) -> bool:
    """Whether two outcomes are the same, tensors but for rounding."""
    if isinstance(one, ModelPatcher) and isinstance(other, ModelPatcher):
        return same(*((each.model, _strengths(each)) for each in (one, other)))
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.shape == other.shape and bool(
            torch.allclose(one, other, rtol=1e-5, atol=1e-5 * float(one.abs().max()))
        )
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def _strengths(model: ModelPatcher) -> dict[str, list[float]]:
    """Those of the LoRAs on each weight."""
    return {str(key): [each[0] for each in patches] for key, patches in model.patches.items()}


def without_effect(row: Node, given: Mapping[str, tuple[Any, ...]]) -> set[str]:
    """The inputs that can be changed without a change of what the node gives."""
    base = {name: some[0] for name, some in given.items()}
    expected = outcome(row, base)
    assert same(expected, outcome(row, base)), "the same inputs give something else the second time"
    return {
        name
        for name, (_, *others) in given.items()
        if any(same(expected, outcome(row, {**base, name: other})) for other in others)
    }


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Folders for input and output, with an embeds file each."""
    for place, file, seed in (("input", "one.ipadpt", 1), ("output", "saved/two.ipadpt", 2)):
        monkeypatch.setattr(folder_paths, f"{place}_directory", str(tmp_path / place))
        (tmp_path / place / file).parent.mkdir(parents=True)
        torch.save(random(2, 6, seed=seed), tmp_path / place / file)


@pytest.mark.parametrize("row", [row for row in NODES if row not in loaders.ROWS], ids=lambda row: row.id)
def test_every_input_changes_what_a_node_gives(row, places):
    assert without_effect(row, values(row)) == excused(row)


# ------------------------------------------------------------------------------------------------------------- loaders


@pytest.fixture
def face_packs(folders, monkeypatch):
    """Face packs as they are loaded, which say what they were asked for."""

    def load(cls, folder, providers, name=""):
        return name, list(providers)

    for pack in ("buffalo_l", "antelopev2"):
        write_pack(folders / "insightface" / "models", pack)
    monkeypatch.setattr(FaceAnalyser, "load", classmethod(load))
    monkeypatch.setattr(face_analyser, "available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])


LORA = "ip-adapter-faceid_sd15_lora"
SHELF = {  # tiny adapters that a catalogue of the user says to be for this: file -> purpose, model
    "tiny.safetensors": ("standard", "SD1.5"),
    "another.safetensors": ("plus", "SD1.5"),
    "sdxl.safetensors": ("standard", "SDXL"),
    "composition.safetensors": ("composition", "SD1.5"),
    "composition-sdxl.safetensors": ("composition", "SDXL"),
    "face.safetensors": ("FaceID", "SD1.5"),
    "portrait.safetensors": ("FaceID portrait", "SD1.5"),
    "face-sdxl.safetensors": ("FaceID", "SDXL"),
}
UNIFIED = {  # base model, preset, another if a tiny adapter can be of it, and the adapter of the first
    "IPAdapterUnifiedLoader": ("SD1.5", "STANDARD (medium strength)", "PLUS (high strength)", "tiny"),
    "IPAdapterUnifiedLoaderFaceID": ("SD1.5", "FACEID", "FACEID PORTRAIT (style transfer)", "face"),
    "IPAdapterUnifiedLoaderCommunity": ("SDXL", "Composition", "", "composition-sdxl"),
}


@pytest.fixture
def shelf(folders, face_packs):
    entries = [
        {**OWN, "id": file, "purposes": [purpose], "base_model": base, "files": [file]}
        for file, (purpose, base) in SHELF.items()
    ]
    put_catalogue(
        folders, *(each | ({"companion": LORA} if each["id"] == "face.safetensors" else {}) for each in entries)
    )
    for file, (_, base) in SHELF.items():
        put_adapter(folders, file, base)
    put_encoder(folders)
    return folders


@pytest.mark.parametrize("row", loaders.ROWS, ids=lambda row: row.id)
def test_every_input_changes_what_a_loader_gives(row, shelf):
    put_face_lora(shelf, world("SD1.5").model, f"{LORA}.safetensors")
    given = {**BY_NAME, **(unified(shelf, *UNIFIED[row.id]) if row.id in UNIFIED else {})}
    assert without_effect(row, {each.name: given[each.name] for each in row.inputs}) == set()


def unified(folders: Path, base: str, preset: str, other: str, name: str) -> Mapping[str, tuple[Any, ...]]:
    """Values for a unified loader: parts of the files that it takes are reused if they come with `ipadapter`."""
    raw = published.nested(tiny.base_file(world(base).model, seed=6))
    adapter = {"file": str(folders / "ipadapter" / f"{name}.safetensors"), "model": raw}
    encoder = {"file": str(folders / "clip_vision" / "anything.safetensors"), "model": tiny.encoder()}
    models = [world(each).model for each in ("SD1.5", "SDXL")]
    return {
        "model": tuple(models if base == "SD1.5" else reversed(models)),
        "preset": (preset, other) if other else (preset,),
        "ipadapter": (None, {"ipadapter": adapter}, {"clipvision": encoder}),
    }


def test_the_preset_for_kolors_looks_for_another_adapter(shelf):
    row = next(row for row in NODES if row.id == "IPAdapterUnifiedLoaderCommunity")
    with pytest.raises(ValueError, match="^Not found: IP-Adapter for Kolors of the kind 'plus'"):
        result(row, model=world("SDXL").model, preset="Kolors")


# ------------------------------------------------------------------------------------------------------------- excuses


def test_excuses_are_for_inputs_that_there_are():
    assert set().union(*map(excused, NODES)) == EXCUSES.keys() | EXCUSES_BY_PICTURE.keys()
