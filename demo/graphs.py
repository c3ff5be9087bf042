"""The graphs of the pictures in the README and in the help: each node in use. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from .columns import ADAPTER, CFG, ENCODER, SAMPLER, SCHEDULER, SIZE, STEPS, Workflow, node, reference

WIDE = "reference-wide.png"  # a drawing at one end of a wide picture
PHOTOGRAPH = "astronaut.jpg"
VISION_LANGUAGE = "qwen3_vl_embedding_8b_bf16.safetensors"
LIBRARY = "references"  # written by fill.py
OWN_LIBRARY = "sampled"  # to which ADDED adds its picture


@dataclass(frozen=True)
class Graph:
    """A graph, and what its picture shows.

    around: the nodes that are cut out; none: all of them
    runs: whether it is run first
    panel: the command that opens the panel that is shown instead of nodes
    """

    nodes: Workflow
    around: tuple[str, ...] = ()
    runs: bool = True
    panel: str = ""


WORLD: Workflow = {"world": node("ImagePromptDemoWorld")}
FILES: Workflow = {
    "encoder": node("ImagePromptLoadEncoder", encoder_name=ENCODER),
    "adapter": node("ImagePromptLoadAdapter", adapter_name=ADAPTER),
}


def load_image(row: int | str) -> dict[str, object]:
    return node("LoadImage", image=row if isinstance(row, str) else reference(row))


def encoded(number: int = 0, picture: int | str = 0, **inputs: object) -> Workflow:
    """A picture and its features, as "picture 0" and "features 0"."""
    return {
        f"picture {number}": load_image(picture),
        f"features {number}": node(
            "ImagePromptEncode", clip_vision=["encoder", 0], image=[f"picture {number}", 0], **inputs
        ),
    }


def sampled(
    model: list[object], positive: list[object] | None = None, text: str = "a shape", count: int = 1
) -> Workflow:
    """What samples a model and shows the pictures."""
    return WORLD | {
        "positive": node("CLIPTextEncode", clip=["world", 1], text=text),
        "negative": node("CLIPTextEncode", clip=["world", 1], text=""),
        "latent": node("EmptyLatentImage", width=SIZE, height=SIZE, batch_size=count),
        "sampler": node(
            "KSampler",
            model=model,
            positive=positive or ["positive", 0],
            negative=["negative", 0],
            latent_image=["latent", 0],
            seed=1,
            control_after_generate="fixed",
            steps=STEPS,
            cfg=CFG,
            sampler_name=SAMPLER,
            scheduler=SCHEDULER,
            denoise=1.0,
        ),
        "decoded": node("VAEDecode", samples=["sampler", 0], vae=["world", 2]),
        "larger": node("ImageScaleBy", image=["decoded", 0], upscale_method="nearest-exact", scale_by=4.0),
        "shown": node("PreviewImage", images=["larger", 0]),
    }


def applied(**inputs: object) -> Workflow:
    return WORLD | {
        "apply": node(
            "ImagePromptApply", model=["world", 0], adapter=["adapter", 0], features=["features 0", 0], **inputs
        )
    }


def referenced(number: int = 0, **inputs: object) -> Workflow:
    """A reference of features of the same number, as "reference 0"."""
    return {f"reference {number}": node("ImagePromptReference", features=[f"features {number}", 0], **inputs)}


def together(*names: str) -> Workflow:
    """References applied to the world, as "apply"."""
    links = {f"references.reference_{number}": [name, 0] for number, name in enumerate(names)}
    return WORLD | {"apply": node("ImagePromptApplyReferences", model=["world", 0], adapter=["adapter", 0], **links)}


BOX = {"crop": "box", "box": "0.06, 0.06, 0.88"}
ONE = FILES | encoded(picture=WIDE, **BOX) | applied() | sampled(["apply", 0])
TWO = FILES | encoded(0, 0) | encoded(1, 1) | referenced(0, name="triangle") | referenced(1, name="cross")
REGIONS = "triangle: rect 0 0, 0.5 1\ncross: rect 0.5 0, 1 1"
DIVIDED = {
    "regions": node(
        "ImagePromptRegions",
        width=SIZE,
        height=SIZE,
        regions=REGIONS,
        **{f"references.reference_{number}": [f"reference {number}", 0] for number in range(2)},
    )
}
MAPPED = {
    "record": node("ImagePromptRecordInfluence", model=["apply", 0]),
    "map": node("ImagePromptInfluenceMap", influence=["record", 1], latent=["sampler", 0], image=["decoded", 0]),
}

PHOTOGRAPHED = encoded(picture=PHOTOGRAPH, crop="box", box="0.2, 0.02, 0.62")
PUBLISHED: Workflow = {
    "encoder": node("ImagePromptLoadEncoder", encoder_name="clip_vision_h.safetensors"),
    "adapter": node("ImagePromptLoadAdapter", adapter_name="ip-adapter-plus_sd15.safetensors"),
}
SEEN = {"seen": node("PreviewImage", images=["features 0", 1])}
FACES: Workflow = {
    "face picture": load_image(PHOTOGRAPH),
    "analyser": node("ImagePromptFaceAnalyserLoader"),
    "face": node("ImagePromptEncodeFace", insightface=["analyser", 0], image=["face picture", 0]),
}
CHECKPOINT = {"model": node("ImagePromptDemoCheckpoint", base_model="SDXL", seed=0)}
POSITIVE = {"positive": node("CLIPTextEncode", clip=["model", 1], text="a portrait")}
LAYERS = {"layer weights": node("ImagePromptLayerWeights", preset="strong style")}
COURSE = {"step weights": node("ImagePromptStepWeights", curve="keyframes", keyframes="0:1, 0.35:0.9 ease in, 0.8:0.1")}
KEPT = {"saved": node("ImagePromptSaveFeatures", features=["features 0", 0], name="shapes/triangle")}
LOADED = FILES | {"features 0": node("ImagePromptLoadFeatures", features_name="demo-features.safetensors")}
WANTED = "a blue shape with stripes"
TEXT = FILES | {"text": node("ImagePromptEmbedText", clip_vision=["encoder", 0], text=WANTED)}
COMPARED = (
    TEXT
    | encoded()
    | {
        "embedding": node("ImagePromptEmbedding", features=["features 0", 0]),
        "alike": node("ImagePromptSimilarity", a=["text", 0], b=["embedding", 0]),
        "table": node("PreviewAny", source=["alike", 1]),
    }
)
SEEING: Workflow = {
    "clip": node("CLIPLoader", clip_name=VISION_LANGUAGE, type="qwen_image"),
    "picture 0": load_image(PHOTOGRAPH),
    "seen": node("ImagePromptEmbedVLM", clip=["clip", 0], image=["picture 0", 0]),
    "wanted": node(
        "ImagePromptEmbedVLM",
        clip=["clip", 0],
        text="a woman in an orange suit before a flag",
        instruction="Retrieve images or text relevant to the user's query.",
    ),
    "alike": node("ImagePromptSimilarity", a=["wanted", 0], b=["seen", 0]),
}
NEAREST = TEXT | {
    "nearest": node("ImagePromptNearestReference", library=LIBRARY, query=["text", 0], k=2, clip_vision=["encoder", 0]),
    "found": node("PreviewImage", images=["nearest", 0]),
}
NEAREST_APPLIED = WORLD | {
    "apply": node("ImagePromptApply", model=["world", 0], adapter=["adapter", 0], features=["nearest", 4])
}
ADDED = ONE | {
    "added": node("ImagePromptAddToLibrary", library=OWN_LIBRARY, clip_vision=["encoder", 0], images=["decoded", 0])
}

GRAPHS: dict[str, Graph] = {
    # README
    "graph": Graph(ONE),
    "encode": Graph(FILES | PHOTOGRAPHED | SEEN, ("features 0",)),
    "influence": Graph(
        TWO | DIVIDED | together("regions") | MAPPED | sampled(["record", 0], text="a shape and a shape"), ("map",)
    ),
    # help, in the order of the menu
    "ImagePromptLoadModels": Graph(
        CHECKPOINT | {"models": node("ImagePromptLoadModels", model=["model", 0])}, runs=False
    ),
    "ImagePromptLoadEncoder": Graph(ONE, ("encoder", "features 0")),
    "ImagePromptLoadAdapter": Graph(ONE, ("adapter", "apply")),
    "ImagePromptFaceAnalyserLoader": Graph(FACES, ("analyser", "face"), runs=False),
    "ImagePromptFaceOptions": Graph(
        FILES | {"options": node("ImagePromptFaceOptions", adapter=["adapter", 0])}, ("adapter", "options"), runs=False
    ),
    "ImagePromptEncode": Graph(FILES | PHOTOGRAPHED | SEEN, ("picture 0", "features 0")),
    "ImagePromptEncodeFace": Graph(FACES, runs=False),
    "ImagePromptEncodeCharacter": Graph(
        {
            "siglip": FILES["encoder"],
            "dino": FILES["encoder"],
            "picture": load_image(0),
            "character": node(
                "ImagePromptEncodeCharacter", siglip=["siglip", 0], dino=["dino", 0], image=["picture", 0]
            ),
        },
        ("picture", "character"),
        runs=False,
    ),
    "ImagePromptEncodeFolder": Graph(
        FILES | {"folder": node("ImagePromptEncodeFolder", clip_vision=["encoder", 0])}, ("folder",), runs=False
    ),
    "ImagePromptCombine": Graph(
        FILES
        | encoded(0, 0)
        | encoded(1, 1)
        | {"combined": node("ImagePromptCombine", features_1=["features 0", 0], features_2=["features 1", 0])},
        ("features 0", "features 1", "combined"),
        runs=False,
    ),
    "ImagePromptSaveFeatures": Graph(FILES | encoded() | KEPT, ("features 0", "saved")),
    "ImagePromptLoadFeatures": Graph(LOADED | applied(), ("features 0", "apply"), runs=False),
    "ImagePromptNearestReference": Graph(
        NEAREST | NEAREST_APPLIED | sampled(["apply", 0]), ("text", "nearest", "found", "apply")
    ),
    "ImagePromptAddToLibrary": Graph(ADDED, ("encoder", "decoded", "added")),
    "ImagePromptRateInLibrary": Graph(
        NEAREST | {"rated": node("ImagePromptRateInLibrary", library=LIBRARY, paths=["nearest", 1], rating=1)},
        ("text", "nearest", "rated"),
    ),
    "ImagePromptAdvise": Graph(
        TEXT | {"advice": node("ImagePromptAdvise", library=OWN_LIBRARY, query=["text", 0])}, ("text", "advice")
    ),
    "ImagePromptApply": Graph(ONE, ("features 0", "adapter", "apply", "sampler")),
    "ImagePromptReference": Graph(TWO | together("reference 0", "reference 1"), ("reference 0", "apply"), runs=False),
    "ImagePromptApplyReferences": Graph(
        TWO | together("reference 0", "reference 1") | sampled(["apply", 0]), ("reference 0", "reference 1", "apply")
    ),
    "ImagePromptRegions": Graph(
        TWO | DIVIDED | together("regions") | sampled(["apply", 0], text="a shape and a shape"),
        ("reference 0", "reference 1", "regions", "apply"),
    ),
    "ImagePromptConditioning": Graph(
        FILES
        | encoded()
        | referenced()
        | {
            "carrying": node(
                "ImagePromptConditioning",
                model=["world", 0],
                adapter=["adapter", 0],
                conditioning=["positive", 0],
                **{"references.reference_0": ["reference 0", 0]},
            )
        }
        | sampled(["carrying", 0], ["carrying", 1]),
        ("reference 0", "carrying", "sampler"),
    ),
    "ImagePromptInstantIDControlNet": Graph(
        CHECKPOINT
        | POSITIVE
        | FACES
        | FILES
        | {
            "network": node("ImagePromptDemoControlNet", seed=0),
            "placed": node(
                "ImagePromptInstantIDControlNet",
                positive=["positive", 0],
                negative=["positive", 0],
                control_net=["network", 0],
                adapter=["adapter", 0],
                features=["face", 0],
                key_points=["face", 3],
            ),
        },
        ("face", "placed"),
        runs=False,
    ),
    "ImagePromptLayerWeights": Graph(
        TWO | LAYERS | referenced(0, layer_weights=["layer weights", 0]), ("layer weights", "reference 0"), runs=False
    ),
    "ImagePromptStepWeights": Graph(
        TWO | COURSE | referenced(0, step_weights=["step weights", 0]), ("step weights", "reference 0"), runs=False
    ),
    "ImagePromptRecordInfluence": Graph(ONE | MAPPED | sampled(["record", 0]), ("record", "sampler")),
    "ImagePromptInfluenceMap": Graph(
        TWO | DIVIDED | together("regions") | MAPPED | sampled(["record", 0], text="a shape and a shape"),
        ("record", "sampler", "map"),
    ),
    "ImagePromptEmbedText": Graph(COMPARED, ("encoder", "text", "alike")),
    "ImagePromptEmbedding": Graph(COMPARED, ("features 0", "embedding", "alike")),
    "ImagePromptEmbedVLM": Graph(SEEING, ("clip", "picture 0", "seen", "wanted", "alike"), runs=False),
    "ImagePromptSimilarity": Graph(COMPARED, ("text", "embedding", "alike", "table")),
    "ImagePromptRank": Graph(
        TEXT
        | sampled(["world", 0], count=8)
        | {
            "ranked": node(
                "ImagePromptRank", images=["larger", 0], reference=["text", 0], clip_vision=["encoder", 0], keep=1
            ),
            "best": node("PreviewImage", images=["ranked", 0]),
        },
        ("text", "shown", "ranked", "best"),
    ),
    "ImagePromptUnique": Graph(
        FILES
        | {f"picture {number}": load_image(row) for number, row in enumerate((0, 1, 0))}
        | {
            "two": node("ImageBatch", image1=["picture 0", 0], image2=["picture 1", 0]),
            "three": node("ImageBatch", image1=["two", 0], image2=["picture 2", 0]),
            "all": node("PreviewImage", images=["three", 0]),
            "unique": node("ImagePromptUnique", images=["three", 0], clip_vision=["encoder", 0]),
            "kept": node("PreviewImage", images=["unique", 0]),
        },
        ("all", "unique", "kept"),
    ),
    "ImagePromptModelReport": Graph({"report": node("ImagePromptModelReport")}),
    "ImagePromptMiddleBlock": Graph(
        FILES | {"middle": node("ImagePromptMiddleBlock", adapter=["adapter", 0])}, ("adapter", "middle"), runs=False
    ),
    # README, last because the panel stays open
    "models": Graph(PUBLISHED, runs=False, panel="image-prompt.models"),
}
