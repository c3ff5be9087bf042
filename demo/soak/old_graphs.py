"""Graphs with nodes of IPAdapter_plus, which this pack has too. Standard library only."""

from __future__ import annotations

from ..columns import Workflow, node
from .prompts import SIZE, STEPS

FILES = {"SD1.5": "demo-ip-adapter-plus_sd15.safetensors", "SDXL": "demo-ip-adapter-plus_sdxl.safetensors"}
ENCODER = "demo-encoder.safetensors"
PICTURE = "astronaut.jpg"


def world(base_model: str) -> Workflow:
    return {
        "model": node("ImagePromptDemoCheckpoint", base_model=base_model, seed=0),
        "adapter": node("IPAdapterModelLoader", ipadapter_file=FILES[base_model]),
        "encoder": node("ImagePromptLoadEncoder", encoder_name=ENCODER),
        "image": node("LoadImage", image=PICTURE),
        "other": node("LoadImage", image=PICTURE),
        "positive": node("CLIPTextEncode", clip=["model", 1], text="a lighthouse"),
        "negative": node("CLIPTextEncode", clip=["model", 1], text="blurry"),
        "latent": node("EmptyLatentImage", width=SIZE, height=SIZE, batch_size=2),
    }


def sampled(it: Workflow, base_model: str = "SD1.5") -> Workflow:
    """A graph whose node `it` gives a model."""
    return {
        **world(base_model),
        **it,
        "sampler": node(
            "KSampler",
            model=["it", 0],
            positive=["positive", 0],
            negative=["negative", 0],
            latent_image=["latent", 0],
            seed=1,
            steps=STEPS,
            cfg=4.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        ),
        "decoded": node("VAEDecode", samples=["sampler", 0], vae=["model", 2]),
        "saved": node("SaveImage", images=["decoded", 0], filename_prefix="soak/old"),
    }


def applied(kind: str, **inputs: object) -> dict[str, object]:
    common = {"model": ["model", 0], "ipadapter": ["adapter", 0], "clip_vision": ["encoder", 0]}
    return node(kind, **common, **PLACED, **inputs)


PLACED = {"start_at": 0.0, "end_at": 1.0, "embeds_scaling": "V only"}
ADVANCED = sampled(
    {
        "it": applied(
            "IPAdapterAdvanced",
            image=["image", 0],
            image_negative=["other", 0],
            weight=1.0,
            weight_type="ease in-out",
            combine_embeds="concat",
        )
    }
)
MASKED = sampled(
    {
        "mask": node("SolidMask", value=0.5, width=SIZE, height=SIZE),
        "it": applied(
            "IPAdapterTiled",
            image=["image", 0],
            attn_mask=["mask", 0],
            weight=0.8,
            weight_type="linear",
            combine_embeds="concat",
            sharpening=0.1,
        ),
    }
)
EMBEDDED = sampled(
    {
        "one": node(
            "IPAdapterEncoder", ipadapter=["adapter", 0], image=["image", 0], clip_vision=["encoder", 0], weight=0.9
        ),
        "two": node(
            "IPAdapterEncoder", ipadapter=["adapter", 0], image=["other", 0], clip_vision=["encoder", 0], weight=0.4
        ),
        "both": node("IPAdapterCombineEmbeds", embed1=["one", 0], embed2=["two", 0], method="average"),
        "it": applied(
            "IPAdapterEmbeds", pos_embed=["both", 0], neg_embed=["one", 1], weight=1.0, weight_type="style transfer"
        ),
    }
)
STYLED = sampled(
    {
        "it": applied(
            "IPAdapterStyleComposition",
            image_style=["image", 0],
            image_composition=["other", 0],
            weight_style=1.0,
            weight_composition=0.7,
            expand_style=False,
            combine_embeds="average",
        )
    },
    "SDXL",
)
