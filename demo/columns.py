"""The columns of the demo's sheet, and the workflow that samples one of them. Standard library only.

A column is a batch: its pictures share the noise's seed and the prompt, and each has a reference of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

ROWS = 4
SIZE = 64
STEPS, CFG, SEED = 20, 3.0, 1
SAMPLER, SCHEDULER = "dpmpp_2m", "sgm_uniform"
ENCODER = "demo_world.safetensors"
ADAPTER = "ip-adapter-plus_demo_world.safetensors"

Workflow = dict[str, dict[str, object]]
Steered = tuple[Workflow, list[object], list[object]]  # nodes, model, positive conditioning


@dataclass(frozen=True)
class ImagePrompt:
    """A reference for each picture, and how it acts."""

    weight: float = 1.0
    next_row: bool = False  # the reference of the next row, instead of the row's own
    side: str | None = None  # the half of the picture that is left to it
    layers: str = "all"

    @property
    def features(self) -> str:
        """The node that encodes its references."""
        return "next features" if self.next_row else "features"


@dataclass(frozen=True)
class Column:
    name: str
    title: str
    note: str  # in two lines at most
    text: str
    prompts: tuple[ImagePrompt, ...] = ()
    by: str = "apply"  # what applies them, a row of APPLYING
    mapped: bool = False  # the pictures are maps of where the references act


COLUMNS = (
    Column("text", "text only", "no image", "a shape"),
    Column("weight-02", "image prompt", "weight 0.2", "a shape", (ImagePrompt(0.2),)),
    Column("weight-05", "image prompt", "weight 0.5", "a shape", (ImagePrompt(0.5),)),
    Column("weight-10", "image prompt", "weight 1.0", "a shape", (ImagePrompt(1.0),)),
    Column(
        "masks",
        "two references",
        "each masked to a half:\nthis row's, next row's",
        "a shape and a shape",
        (ImagePrompt(side="left"), ImagePrompt(side="right", next_row=True)),
    ),
    Column(
        "style",
        "style layers",
        "colour from the image,\nshape from the text",
        "a square",
        (ImagePrompt(layers="style"),),
    ),
    Column(
        "two-pictures",
        "two references",
        "this row's style, next\nrow's composition",
        "a shape",
        (ImagePrompt(layers="style"), ImagePrompt(layers="composition", next_row=True)),
        by="references",
    ),
    Column(
        "areas",
        "two references",
        "two areas, no masks:\nthis row's, next row's",
        "a shape",
        (ImagePrompt(side="left"), ImagePrompt(side="right", next_row=True)),
        by="areas",
    ),
    Column(
        "influence",
        "influence map",
        "of this row's reference,\nmasked to the left half",
        "a shape and a shape",
        (ImagePrompt(side="left"),),
        mapped=True,
    ),
)


def reference(row: int) -> str:
    return f"reference-{row + 1}.png"


def workflow(column: Column) -> Workflow:
    """The workflow of a column, in API format.

    Columns share the names of nodes, so that ComfyUI keeps what is loaded and encoded.
    """
    nodes = {
        "world": node("ImagePromptDemoWorld"),
        "encoder": node("ImagePromptLoadEncoder", encoder_name=ENCODER, variant="auto", dtype="fp32"),
        "adapter": node("ImagePromptLoadAdapter", adapter_name=ADAPTER),
        "positive": node("CLIPTextEncode", clip=["world", 1], text=column.text),
        "negative": node("CLIPTextEncode", clip=["world", 1], text=""),
        "latent": node("EmptyLatentImage", width=SIZE, height=SIZE, batch_size=ROWS),
    }
    for prompt in column.prompts:
        nodes |= features_of_rows(prompt.features, shift=int(prompt.next_row))
    steering, model, positive = APPLYING[column.by](column.prompts)
    nodes |= steering
    shown = ["decoded", 0]
    if column.mapped:
        nodes["record"] = node("ImagePromptRecordInfluence", model=model)
        nodes["map"] = node("ImagePromptInfluenceMap", influence=["record", 1], latent=["sampler", 0])
        model, shown = ["record", 0], ["map", 0]
    return nodes | {
        "sampler": node(
            "KSampler",
            model=model,
            positive=positive,
            negative=["negative", 0],
            latent_image=["latent", 0],
            seed=SEED,
            steps=STEPS,
            cfg=CFG,
            sampler_name=SAMPLER,
            scheduler=SCHEDULER,
            denoise=1.0,
        ),
        "decoded": node("VAEDecode", samples=["sampler", 0], vae=["world", 2]),
        "saved": node("SaveImage", images=shown, filename_prefix=column.name),
    }


def by_apply(prompts: tuple[ImagePrompt, ...]) -> Steered:
    """One Apply node after the other, with a mask for each half."""
    nodes: Workflow = {}
    model: list[object] = ["world", 0]
    for number, prompt in enumerate(prompts):
        nodes |= MASKS if prompt.side else {}
        mask = {"mask": [prompt.side, 0]} if prompt.side else {}
        nodes[f"apply {number}"] = node(
            "ImagePromptApply",
            model=model,
            adapter=["adapter", 0],
            features=[prompt.features, 0],
            weight=prompt.weight,
            start=0.0,
            end=1.0,
            batch="one per image",
            layers=prompt.layers,
            **mask,
        )
        model = [f"apply {number}", 0]
    return nodes, model, ["positive", 0]


def by_references(prompts: tuple[ImagePrompt, ...]) -> Steered:
    """All references as values, in one Apply node."""
    nodes = {f"reference {number} of each": reference_of(prompt) for number, prompt in enumerate(prompts)}
    links = {f"references.reference_{number}": [name, 0] for number, name in enumerate(nodes)}
    nodes["apply"] = node("ImagePromptApplyReferences", model=["world", 0], adapter=["adapter", 0], **links)
    return nodes, ["apply", 0], ["positive", 0]


def by_areas(prompts: tuple[ImagePrompt, ...]) -> Steered:
    """Each reference in the conditioning of the half that is left to it."""
    nodes: Workflow = {}
    model: list[object] = ["world", 0]
    positive: list[object] = []
    for number, prompt in enumerate(prompts):
        x = {"left": 0.0, "right": 0.5}[prompt.side or ""]
        area, carrying = f"area {number}", f"reference {number} in its area"
        nodes |= {
            area: node(
                "ConditioningSetAreaPercentage",
                conditioning=["positive", 0],
                width=0.5,
                height=1.0,
                x=x,
                y=0.0,
                strength=1.0,
            ),
            f"reference {number} of each": reference_of(prompt),
            carrying: node(
                "ImagePromptConditioning",
                model=model,
                adapter=["adapter", 0],
                conditioning=[area, 0],
                **{"references.reference_0": [f"reference {number} of each", 0]},
            ),
        }
        model, found = [carrying, 0], [carrying, 1]
        if positive:
            nodes["both areas"] = node("ConditioningCombine", conditioning_1=positive, conditioning_2=found)
            found = ["both areas", 0]
        positive = found
    return nodes, model, positive


def reference_of(prompt: ImagePrompt) -> dict[str, object]:
    return node(
        "ImagePromptReference",
        features=[prompt.features, 0],
        weight=prompt.weight,
        combining="one per image",
        layers=prompt.layers,
    )


APPLYING: dict[str, Callable[[tuple[ImagePrompt, ...]], Steered]] = {
    "apply": by_apply,
    "references": by_references,
    "areas": by_areas,
}


def node(class_type: str, **inputs: object) -> dict[str, object]:
    return {"class_type": class_type, "inputs": inputs}


def features_of_rows(name: str, shift: int) -> Workflow:
    """The references of the rows, or of rows further down, as one batch of features."""
    rows = [(row + shift) % ROWS for row in range(ROWS)]
    batch = {f"images.image{place}": [f"reference {row}", 0] for place, row in enumerate(rows)}
    return {
        **{f"reference {row}": node("LoadImage", image=reference(row)) for row in rows},
        f"{name} images": node("BatchImagesNode", **batch),
        name: node(
            "ImagePromptEncode",
            clip_vision=["encoder", 0],
            image=[f"{name} images", 0],
            crop="center",
            background="black",
        ),
    }


MASKS: Workflow = {
    "nowhere": node("SolidMask", value=0.0, width=SIZE, height=SIZE),
    "half": node("SolidMask", value=1.0, width=SIZE // 2, height=SIZE),
    "left": node("MaskComposite", destination=["nowhere", 0], source=["half", 0], x=0, y=0, operation="add"),
    "right": node("MaskComposite", destination=["nowhere", 0], source=["half", 0], x=SIZE // 2, y=0, operation="add"),
}
