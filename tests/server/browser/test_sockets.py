"""The pack's sockets have colours of their own, and those for references grow, in both renderers."""

from image_prompt.devtools.comfyui import Server

SCENARIO = "sockets"
OURS = (
    "IMAGE_PROMPT",
    "IMAGE_PROMPT_ADAPTER",
    "IMAGE_PROMPT_LAYER_WEIGHTS",
    "IMAGE_PROMPT_STEP_WEIGHTS",
    "INFLUENCE",
    "INSIGHTFACE",
)
REFERENCE = "ImagePromptReference"
WIRED = {
    "references.reference_0": REFERENCE,
    "references.reference_1": REFERENCE,
    "references.reference_2": None,
}


def task(server: Server, object_info: dict) -> dict:
    return {"types": [*OURS, "MODEL"]}


def test_every_type_has_a_colour_of_its_own_in_every_palette(seen):
    for colors in seen["colors"].values():
        slots = [colors[type]["slot"] for type in (*OURS, "MODEL")]
        assert all(slots) and len(set(slots)) == len(slots)
        assert [colors[type]["link"] for type in OURS] == slots[:-1]  # a wire looks like its sockets


def test_a_palette_keeps_the_colours_that_it_names(seen):
    dark, light = (seen["colors"][palette]["MODEL"]["slot"] for palette in ("dark", "light"))
    assert dark != light


def test_sockets_for_references_grow_and_shrink(seen):
    grown = seen["grown"]
    for when in ("wired", "loaded", "copied"):
        assert grown[when] == WIRED, when
    assert list(grown["shrunk"].values()) == [REFERENCE, None]
