"""What becomes of each kind of node: prompts go in, and what our nodes are given comes out."""

import json

import pytest

from image_prompt.migration import migrate

from .graphs import Graph, prompt

LOADED: Graph = {
    "1": ("CheckpointLoaderSimple", {"ckpt_name": "model.safetensors"}),
    "2": ("IPAdapterModelLoader", {"ipadapter_file": "ip-adapter-plus_sdxl_vit-h.safetensors"}),
    "3": ("CLIPVisionLoader", {"clip_name": "vit-h.safetensors"}),
    "4": ("LoadImage", {"image": "a.png"}),
}
WIRED = {"model": ("1", 0), "ipadapter": ("2", 0), "clip_vision": ("3", 0)}
PICTURE = {**WIRED, "image": ("4", 0)}
SDXL, SD15 = "ip-adapter_sdxl_vit-h.safetensors", "ip-adapter_sd15.safetensors"


def applied(type: str, file: str = SDXL, more: Graph | None = None, **inputs: object) -> Graph:
    """A graph with one node that applies an adapter, number 9, and its sampler."""
    loaded = {**LOADED, "2": ("IPAdapterModelLoader", {"ipadapter_file": file})}
    end: Graph = {"9": (type, {**PICTURE, **inputs}), "10": ("KSampler", {"model": ("9", 0)})}
    return {**loaded, **(more or {}), **end}


def nodes(graph: Graph, **options) -> dict[str, dict]:
    return json.loads(migrate(prompt(graph), **options).text)


def only(made: dict[str, dict], type: str) -> dict:
    """The inputs of the only node of a type, with links followed by one step for what they say."""
    (found,) = (each["inputs"] for each in made.values() if each["class_type"] == type)
    return found


def linked(made: dict[str, dict], link: list) -> dict:
    return made[link[0]]


def why(graph: Graph, id: str = "9", **options) -> str:
    return next(each.why for each in migrate(prompt(graph), **options).stays if each.id == id)


# ------------------------------------------------------------------------------------------------------------ weights


def test_a_linear_weight_becomes_one_apply_node():
    made = nodes(applied("IPAdapterAdvanced", weight=0.7, start_at=0.1, end_at=0.8))
    assert made["9"]["class_type"] == "ImagePromptApply"
    given = made["9"]["inputs"]
    assert (given["weight"], given["start"], given["end"], given["layers"]) == (0.7, 0.1, 0.8, "all")
    assert (given["model"], given["adapter"]) == (["1", 0], ["2", 0])
    encode = linked(made, given["features"])
    assert encode["class_type"] == "ImagePromptEncode"
    assert encode["inputs"]["image"] == ["4", 0] and encode["inputs"]["clip_vision"] == ["3", 0]
    assert made["2"] == {"class_type": "ImagePromptLoadAdapter", "inputs": {"adapter_name": SDXL, "variant": "auto"}}
    assert made["10"]["inputs"]["model"] == ["9", 0]


EASES = {
    "ease in": lambda r: 0.05 + 0.95 * (1 - r),
    "ease out": lambda r: 0.05 + 0.95 * r,
    "ease in-out": lambda r: 0.05 + 0.95 * (1 - abs(2 * r - 1)),
    "reverse in-out": lambda r: 0.05 + 0.95 * abs(2 * r - 1),
    "prompt is more important": lambda r: 0.05 + 0.95 * r,
}


@pytest.mark.parametrize(("file", "count"), [(SD15, 16), (SDXL, 11)])
@pytest.mark.parametrize("weight_type", EASES)
def test_curves_become_a_number_for_each_block(weight_type, file, count):
    weights = only(nodes(applied("IPAdapterAdvanced", file, weight_type=weight_type)), "ImagePromptLayerWeights")
    assert weights["preset"] == "values"
    numbers = [float(each) for each in weights["values"].split(",")]
    assert numbers == pytest.approx([EASES[weight_type](t / count) for t in range(count)], abs=1e-5)


LISTED = {  # of SD1.5, from the table of the other pack
    "style transfer": {**dict.fromkeys(range(4), 1.0), **dict.fromkeys(range(9, 16), 1.0)},
    "composition": {4: 0.25, 5: 1.0},
    "strong style transfer": {**dict.fromkeys(range(4), 1.0), **dict.fromkeys(range(7, 16), 1.0)},
    "style and composition": {
        **dict.fromkeys(range(4), 1.0),
        **dict.fromkeys(range(9, 16), 1.0),
        4: 0.25 / 0.5,
        5: 1 / 0.5,
    },
    "style transfer (SDXL)": {**dict.fromkeys(range(4), 1.0), **dict.fromkeys(range(9, 16), 1.0)},
}


def entries(text: str) -> dict[int, float]:
    return {int(t): float(value) for t, value in (each.split(":") for each in text.split(","))}


@pytest.mark.parametrize("weight_type", LISTED)
def test_lists_of_blocks_become_values(weight_type):
    weights = only(
        nodes(applied("IPAdapterAdvanced", SD15, weight_type=weight_type, weight=0.5)), "ImagePromptLayerWeights"
    )
    assert entries(weights["values"]) == LISTED[weight_type]


@pytest.mark.parametrize(("weight_type", "layers"), [("style transfer", "style"), ("composition", "composition")])
def test_sdxl_has_presets_of_the_same_blocks(weight_type, layers):
    assert nodes(applied("IPAdapterAdvanced", weight_type=weight_type))["9"]["inputs"]["layers"] == layers


def test_style_transfer_precise_is_a_preset_of_sdxl():
    made = nodes(applied("IPAdapterAdvanced", weight_type="style transfer precise", weight=0.6))
    reference = only(made, "ImagePromptReference")
    assert (reference["layers"], reference["weight"]) == ("precise style", 0.6)


@pytest.mark.parametrize(
    ("weight_type", "values"),
    [("weak input", "0.2, 1, 1"), ("weak output", "1, 1, 0.2"), ("weak middle", "1, 0.2, 1"), ("strong middle", "0.2")],
)
def test_weights_of_parts_need_no_base_model(weight_type, values):
    made = nodes(applied("IPAdapterAdvanced", "x.bin", weight_type=weight_type))
    assert only(made, "ImagePromptLayerWeights")["values"] == values


def test_the_base_model_is_asked_for_where_no_name_says_it():
    graph = applied("IPAdapterAdvanced", "x.bin", weight_type="composition")
    assert "give --base SD1.5 or --base SDXL" in why(graph)
    assert nodes(graph, base="SDXL")["9"]["inputs"]["layers"] == "composition"


def test_the_checkpoint_says_the_base_model():
    graph = applied("IPAdapterAdvanced", "x.bin", weight_type="composition")
    unified: Graph = {
        "1": ("CheckpointLoaderSimple", {"ckpt_name": "sd_xl_base_1.0.safetensors"}),
        "2": ("IPAdapterUnifiedLoader", {"model": ("1", 0), "preset": "STANDARD (medium strength)"}),
    }
    (_, inputs) = graph["9"]
    graph |= {**unified, "9": ("IPAdapterAdvanced", {**inputs, "model": ("2", 0), "ipadapter": ("2", 1)})}
    assert nodes(graph)["9"]["inputs"]["layers"] == "composition"


def test_layer_weights_that_are_typed_in_keep_their_numbers_and_the_last_counts():
    made = nodes(applied("IPAdapterMS", SD15, layer_weights="0:0.5, 3:1,\n3:0.25, 99:1, 6:2"))
    assert entries(only(made, "ImagePromptLayerWeights")["values"]) == {0: 0.5, 3: 0.25, 6: 2.0}


def test_layer_weights_of_blocks_that_only_sd15_has_need_the_base_model():
    graph = applied("IPAdapterMS", "x.bin", layer_weights="3:1, 12:1")
    assert "give --base" in why(graph)
    assert entries(only(nodes(graph, base="SDXL"), "ImagePromptLayerWeights")["values"]) == {3: 1.0}


@pytest.mark.parametrize("text", ["0:1,", "1.0:1", "0:nan", "0;1", "0:9", "99:1"])
def test_layer_weights_that_mean_nothing_stay(text):
    assert "layer_weights" in why(applied("IPAdapterMS", SD15, layer_weights=text))


# -------------------------------------------------------------------------------------------------------- nodes alike


def test_batches_are_one_reference_for_each_picture():
    made = nodes(applied("IPAdapterBatch"))
    assert made["9"]["inputs"]["batch"] == "one per image"
    made = nodes(applied("IPAdapterBatch", embeds_scaling="K+V"))
    reference = only(made, "ImagePromptReference")
    assert (reference["combining"], reference["scaling"]) == ("one per image", "K+V")


def test_a_negative_is_encoded_and_a_mask_goes_along():
    graph = applied(
        "IPAdapterAdvanced", image_negative=("4", 0), attn_mask=("4", 1), combine_embeds="average", embeds_scaling="K+V"
    )
    made = nodes(graph)
    reference = only(made, "ImagePromptReference")
    assert linked(made, reference["negative"])["inputs"]["image"] == ["4", 0]
    assert reference["negative"] != reference["features"]
    assert reference["mask"] == ["4", 1] and reference["combining"] == "average"
    assert made["9"]["inputs"]["references.reference_0"] == next(
        [id, 0] for id, each in made.items() if each["class_type"] == "ImagePromptReference"
    )


@pytest.mark.parametrize(("negative", "said"), [({}, True), ({"image_negative": ("4", 0)}, False)])
def test_the_negative_that_the_adapter_makes_itself_is_told_to_be_another(negative, said):
    (change,) = (each for each in migrate(prompt(applied("IPAdapterAdvanced", **negative))).changes if each.id == "9")
    assert any("encode a black image" in note for note in change.notes) == said


@pytest.mark.parametrize(("expand", "layers"), [(False, "style"), (True, "strong style")])
def test_style_and_composition_are_two_references(expand, layers):
    more: Graph = {"5": ("LoadImage", {"image": "b.png"})}
    graph = applied(
        "IPAdapterStyleComposition", SDXL, more, weight_style=0.4, weight_composition=0.9, expand_style=expand
    )
    graph["9"][1].update(image_style=("4", 0), image_composition=("5", 0))
    made = nodes(graph)
    style, composition = (linked(made, made["9"]["inputs"][f"references.reference_{n}"])["inputs"] for n in range(2))
    assert (style["layers"], style["weight"], style["combining"]) == (layers, 0.4, "average")
    assert (composition["layers"], composition["weight"]) == ("composition", 0.9)
    assert [linked(made, each["features"])["inputs"]["image"] for each in (style, composition)] == [["4", 0], ["5", 0]]


def test_style_and_composition_of_batches_are_for_each_picture():
    graph = applied("IPAdapterStyleCompositionBatch", image_style=("4", 0), image_composition=("4", 0))
    made = nodes(graph)
    references = [each["inputs"] for each in made.values() if each["class_type"] == "ImagePromptReference"]
    assert [each["combining"] for each in references] == ["one per image"] * 2


def test_what_differs_is_said():
    batch: Graph = {"5": ("ImageBatch", {"image1": ("4", 0), "image2": ("4", 0)})}
    graph = applied("IPAdapterBatch", SDXL, batch, image_negative=("5", 0), attn_mask=("4", 1))
    (notes,) = (each.notes for each in migrate(prompt(graph)).changes if each.id == "9")
    assert [word for word in ("negative is several", "begin again", "part of the mask") if word in " ".join(notes)] == [
        "negative is several",
        "begin again",
        "part of the mask",
    ]
    plain = applied("IPAdapterAdvanced", image_negative=("4", 0))
    (notes,) = (each.notes for each in migrate(prompt(plain)).changes if each.id == "9")
    assert notes == ()


@pytest.mark.parametrize(
    ("type", "inputs", "layers"),
    [
        ("IPAdapterPreciseComposition", {}, "composition"),  # its composition_boost is 0
        ("IPAdapterPreciseStyleTransfer", {"style_boost": 0.0}, "style"),
    ],
)
def test_precise_nodes_that_push_nothing_away(type, inputs, layers):
    assert nodes(applied(type, **inputs))["9"]["inputs"]["layers"] == layers


def test_precise_style_pushes_away_with_its_own_weight():
    made = nodes(applied("IPAdapterPreciseStyleTransferBatch", weight=0.5, style_boost=0.5))
    assert only(made, "ImagePromptReference")["layers"] == "precise style"


@pytest.mark.parametrize(("weight_type", "scaling"), [("original", "V only"), ("linear", "K+V")])
def test_nodes_of_2023_acted_in_the_middle_too(weight_type, scaling):
    done = migrate(prompt(applied("IPAdapterApply", weight_type=weight_type, unfold_batch=True)))
    assert not done.in_middle
    made = json.loads(done.text)
    if scaling == "V only":
        assert made["9"]["inputs"]["batch"] == "one per image"
    else:
        assert only(made, "ImagePromptReference")["scaling"] == scaling
    assert migrate(prompt(applied("IPAdapterAdvanced"))).in_middle


# ----------------------------------------------------------------------------------------------------------- encoders


def encoded(**inputs: object) -> Graph:
    """A graph with two encoders, which are combined, and a node that applies them."""
    wired = {"ipadapter": ("2", 0), "clip_vision": ("3", 0)}
    return {
        **LOADED,
        "5": ("IPAdapterEncoder", {**wired, "image": ("4", 0)}),
        "6": ("IPAdapterEncoder", {**wired, "image": ("4", 0), **inputs}),
        "7": ("IPAdapterCombineEmbeds", {"embed1": ("5", 0), "embed3": ("6", 0), "method": "average"}),
        "9": (
            "IPAdapterEmbeds",
            {"model": ("1", 0), "ipadapter": ("2", 0), "pos_embed": ("7", 0), "neg_embed": ("5", 1)},
        ),
    }


def test_embeds_are_encoded_combined_and_applied():
    made = nodes(encoded())
    assert [made[id]["class_type"] for id in "5679"] == [
        *["ImagePromptEncode"] * 2,
        "ImagePromptCombine",
        "ImagePromptApply",
    ]
    combine = made["7"]["inputs"]
    assert (combine["features_1"], combine["features_2"]) == (["5", 0], ["6", 0])
    assert (combine["method"], combine["rows"]) == ("average", "all together")
    assert made["9"]["inputs"]["features"] == ["7", 0]
    assert "negative" not in made["9"]["inputs"]  # the encoder's own is what an adapter has by itself


def test_features_of_an_image_may_be_the_negative():
    graph = encoded()
    graph["9"][1]["neg_embed"] = ("6", 0)
    assert nodes(graph)["9"]["inputs"]["negative"] == ["6", 0]


def test_a_negative_that_is_used_like_a_reference_stays():
    graph = encoded()
    graph["7"][1]["embed2"] = ("5", 1)
    assert "combines negatives" in why(graph, "7")
    graph["9"][1]["pos_embed"] = ("5", 1)
    assert "is a negative" in why(graph)


def test_what_reads_an_encoder_that_stays_stays_too():
    done = migrate(prompt({**encoded(weight=0.5), **{"8": applied("IPAdapterAdvanced")["9"]}}))
    stays = {each.id: each.why for each in done.stays}
    assert set(stays) == {"2", "5", "6", "7", "9"}
    assert "Its weight is 0.5" in stays["6"] and "which stays" in stays["9"]


def test_the_encoder_of_2023_becomes_one_for_each_image():
    graph: Graph = {
        **LOADED,
        "5": ("IPAdapterEncoder", {"clip_vision": ("3", 0), "image_1": ("4", 0), "image_3": ("4", 0)}),
        "6": ("IPAdapterBatchEmbeds", {"embed1": ("5", 0), "embed2": ("5", 0)}),
        "9": ("IPAdapterApplyEncoded", {"ipadapter": ("2", 0), "embeds": ("6", 0), "model": ("1", 0)}),
    }
    made = nodes(graph)
    assert made["5"]["class_type"] == made["6"]["class_type"] == "ImagePromptCombine"
    assert made["5"]["inputs"]["method"] == "concat"
    images = [linked(made, made["5"]["inputs"][f"features_{n}"])["inputs"]["image"] for n in (1, 2)]
    assert images == [["4", 0], ["4", 0]]
    assert made["9"]["inputs"]["features"] == ["6", 0]


# ------------------------------------------------------------------------------------------------- loaders and images


PRESETS = {
    "LIGHT - SD1.5 only (low strength)": "light",
    "STANDARD (medium strength)": "standard",
    "VIT-G (medium strength)": "vit-G",
    "PLUS (high strength)": "plus",
    "PLUS FACE (portraits)": "plus face",
    "FULL FACE - SD1.5 only (portraits stronger)": "full face",
    "Composition": "composition",
    "Kolors": "plus",
}


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_become_purposes_that_the_loader_offers(preset, schemas):
    community = preset in ("Composition", "Kolors")
    type = "IPAdapterUnifiedLoaderCommunity" if community else "IPAdapterUnifiedLoader"
    graph: Graph = {
        **LOADED,
        "2": (type, {"model": ("1", 0), "preset": preset}),
        "9": ("IPAdapter", {"model": ("2", 0), "ipadapter": ("2", 1), "image": ("4", 0)}),
    }
    made = nodes(graph)
    assert made["2"]["class_type"] == "ImagePromptLoadModels"
    assert made["2"]["inputs"] == {"purpose": PRESETS[preset], "model": ["1", 0]}
    (purpose,) = (each for each in schemas["ImagePromptLoadModels"].inputs if each.id == "purpose")
    assert PRESETS[preset] in purpose.options
    assert made["9"]["inputs"]["model"] == ["2", 0] and made["9"]["inputs"]["adapter"] == ["2", 1]
    assert linked(made, made["9"]["inputs"]["features"])["inputs"]["clip_vision"] == ["2", 2]


def test_loaders_in_a_row_are_all_rewritten():
    graph: Graph = {
        **LOADED,
        "2": ("IPAdapterUnifiedLoader", {"model": ("1", 0), "preset": "PLUS (high strength)"}),
        "5": (
            "IPAdapterUnifiedLoader",
            {"model": ("2", 0), "preset": "STANDARD (medium strength)", "ipadapter": ("2", 1)},
        ),
        "9": ("IPAdapter", {"model": ("5", 0), "ipadapter": ("5", 1), "image": ("4", 0)}),
    }
    made = nodes(graph)
    assert made["5"]["inputs"] == {"purpose": "standard", "model": ["2", 0]}
    assert made["2"]["inputs"] == {"purpose": "plus", "model": ["1", 0]}


@pytest.mark.parametrize("crop", ["top", "bottom", "left", "right", "center", "pad"])
def test_the_crop_goes_into_encode(crop, schemas):
    prep: Graph = {"5": ("PrepImageForClipVision", {"image": ("4", 0), "crop_position": crop})}
    made = nodes(applied("IPAdapterAdvanced", SDXL, prep, image=("5", 0), image_negative=("5", 0)))
    assert "5" not in made
    encodes = [each["inputs"] for each in made.values() if each["class_type"] == "ImagePromptEncode"]
    assert [(each["crop"], each["image"]) for each in encodes] == [(crop, ["4", 0])] * 2
    (offered,) = (each for each in schemas["ImagePromptEncode"].inputs if each.id == "crop")
    assert crop in offered.options


@pytest.mark.parametrize(
    ("inputs", "more", "words"),
    [
        ({"sharpening": 0.2}, {}, "sharpens"),
        ({}, {"6": ("PreviewImage", {"images": ("5", 0)})}, "6 (PreviewImage)"),
    ],
)
def test_a_prepared_image_stays_before_encode(inputs, more, words):
    prep: Graph = {"5": ("PrepImageForClipVision", {"image": ("4", 0), **inputs}), **more}
    graph = applied("IPAdapterAdvanced", SDXL, prep, image=("5", 0))
    made = nodes(graph)
    encode = only(made, "ImagePromptEncode")
    assert (encode["image"], encode["crop"]) == (["5", 0], "center")
    assert words in why(graph, "5")


def test_of_two_crops_in_a_row_the_first_stays():
    prep: Graph = {
        "5": ("PrepImageForClipVision", {"image": ("4", 0), "crop_position": "left"}),
        "6": ("PrepImageForClipVision", {"image": ("5", 0), "crop_position": "top"}),
    }
    made = nodes(applied("IPAdapterAdvanced", SDXL, prep, image=("6", 0)))
    encode = only(made, "ImagePromptEncode")
    assert (encode["image"], encode["crop"]) == (["5", 0], "top")
    assert made["5"]["class_type"] == "PrepImageForClipVision" and "6" not in made


def test_a_loader_that_others_read_stays_and_ours_is_beside_it():
    tiled = applied("IPAdapterTiled")["9"]
    made = nodes({**applied("IPAdapterAdvanced"), "8": tiled})
    assert made["2"]["class_type"] == "IPAdapterModelLoader" and made["8"]["inputs"]["ipadapter"] == ["2", 0]
    adapter = made["9"]["inputs"]["adapter"]
    assert linked(made, adapter) == {
        "class_type": "ImagePromptLoadAdapter",
        "inputs": {"adapter_name": SDXL, "variant": "auto"},
    }


# -------------------------------------------------------------------------------------------------------- what stays


STAYS = [
    ("IPAdapterAdvanced", {"embeds_scaling": "K+V w/ C penalty"}, "embeds_scaling"),
    ("IPAdapterAdvanced", {"embeds_scaling": "K+mean(V) w/ C penalty"}, "embeds_scaling"),
    ("IPAdapterAdvanced", {"weight_type": "composition precise"}, "pushes the style away"),
    ("IPAdapterAdvanced", {"combine_embeds": "norm average", "image": ("5", 0)}, "combine_embeds"),
    ("IPAdapterAdvanced", {"combine_embeds": "subtract", "image": ("7", 0)}, "only one"),
    ("IPAdapterAdvanced", {"start_at": 0.9, "end_at": 0.1}, "lies after"),
    ("IPAdapterAdvanced", {"weight": "0.5"}, "weight"),
    ("IPAdapterAdvanced", {"weight_type": ("6", 0)}, "through a link"),
    ("IPAdapterAdvanced", {"weight": ("6", 0)}, "list"),
    ("IPAdapterAdvanced", {"weight_type": "wild"}, "not known"),
    ("IPAdapterAdvanced", {"weight_type": "style and composition", "weight": 0.0}, "too small"),
    ("IPAdapterPreciseStyleTransfer", {"weight": 1.0, "style_boost": 2.0}, "pushes the composition away"),
    ("IPAdapterMS", {"insightface": ("6", 0)}, "faces"),
    ("IPAdapterApply", {"noise": 0.3}, "noise"),
    ("IPAdapterApply", {"weight_type": "channel penalty"}, "changes the keys"),
    ("IPAdapterTiled", {}, "tile"),
    ("IPAdapterFaceID", {}, "faces"),
    ("IPAdapterClipVisionEnhancer", {}, "tiles"),
]


@pytest.mark.parametrize(("type", "inputs", "words"), STAYS)
def test_what_our_nodes_cannot_say_stays_as_it_is_with_the_reason(type, inputs, words):
    more: Graph = {
        "5": ("ImageBatch", {"image1": ("4", 0), "image2": ("4", 0)}),
        "6": ("IPAdapterWeights", {}),
        "7": ("SomeNode", {}),
    }
    graph = applied(type, SDXL, more, **inputs)
    text = prompt(graph)
    done = migrate(text)
    assert done.changes == [] and done.text == text
    assert words in why(graph)


@pytest.mark.parametrize("combine", ["norm average", "subtract"])
def test_how_images_are_combined_does_not_matter_for_one(combine):
    assert nodes(applied("IPAdapterAdvanced", combine_embeds=combine))["9"]["class_type"] == "ImagePromptApply"


def test_adapters_for_faces_stay_with_what_reads_them():
    graph = applied("IPAdapterAdvanced", "ip-adapter-faceid-plusv2_sd15.bin")
    assert "for faces" in why(graph) and "for faces" in why(graph, "2")


def test_a_node_without_its_links_stays():
    graph = applied("IPAdapterAdvanced")
    del graph["9"][1]["clip_vision"]
    assert "clip_vision" in why(graph)


def test_a_graph_that_goes_in_a_circle_stays():
    graph = encoded()
    graph["7"][1]["embed2"] = ("7", 0)
    assert "reads itself" in why(graph, "7")


def test_a_weight_that_is_linked_stays_linked():
    made = nodes(applied("IPAdapterAdvanced", SDXL, {"5": ("PrimitiveFloat", {"value": 0.5})}, weight=("5", 0)))
    assert made["9"]["inputs"]["weight"] == ["5", 0]


def test_a_choice_from_a_primitive_is_its_value():
    more: Graph = {"5": ("PrimitiveString", {"value": "composition"})}
    made = nodes(applied("IPAdapterAdvanced", SDXL, more, weight_type=("5", 0)))
    assert made["9"]["inputs"]["layers"] == "composition"
