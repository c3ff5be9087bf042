"""The columns of the demo's sheet, and the workflow that samples one of them. Standard library only.

A column is a batch: its pictures share the noise's seed and the prompt, and each has a reference of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

ROWS = 4
SIZE = 64
STEPS, CFG, SEED = 20, 3.0, 1
SAMPLER, SCHEDULER = "dpmpp_2m", "sgm_uniform"
ENCODER = "demo_world.safetensors"
ADAPTER = "ip-adapter-plus_demo_world.safetensors"

Workflow = dict[str, dict[str, object]]


@dataclass(frozen=True)
class ImagePrompt:
    """What one Apply node is given."""

    weight: float = 1.0
    next_row: bool = False  # the reference of the next row, instead of the row's own
    side: str | None = None  # the half of the picture that its mask leaves to it
    layers: str = "all"


@dataclass(frozen=True)
class Column:
    name: str
    title: str
    note: str  # in two lines at most
    text: str
    prompts: tuple[ImagePrompt, ...] = ()


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
    model: list[object] = ["world", 0]
    for number, prompt in enumerate(column.prompts):
        features = "next features" if prompt.next_row else "features"
        nodes |= features_of_rows(features, shift=int(prompt.next_row)) | (MASKS if prompt.side else {})
        mask = {"mask": [prompt.side, 0]} if prompt.side else {}
        nodes[f"apply {number}"] = node(
            "ImagePromptApply",
            model=model,
            adapter=["adapter", 0],
            features=[features, 0],
            weight=prompt.weight,
            start=0.0,
            end=1.0,
            batch="one per image",
            layers=prompt.layers,
            **mask,
        )
        model = [f"apply {number}", 0]
    return nodes | {
        "sampler": node(
            "KSampler",
            model=model,
            positive=["positive", 0],
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
        "saved": node("SaveImage", images=["decoded", 0], filename_prefix=column.name),
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
