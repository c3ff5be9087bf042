"""The nodes of packs for Flux run in the queue, with the least and with all inputs."""

import pytest
from safetensors.torch import save_file

from image_prompt.demo.make_models import PROJECTION
from image_prompt.devtools import published

from .old_graphs import node

TOKENS, CONTEXT, WIDTH = 4, 4096, 32


@pytest.fixture(scope="module", autouse=True)
def files(server):
    """An adapter for the small Flux, and an encoder that it reads."""
    folder = server.base / "models"
    (folder / "xlabs" / "ipadapters").mkdir(parents=True, exist_ok=True)
    shapes = published.xlabs(published.base(CONTEXT, PROJECTION, TOKENS), [WIDTH] * 19, CONTEXT)
    adapter = published.fill(shapes, 5, louder={"_v_proj": 3.0})
    save_file(adapter, folder / "xlabs" / "ipadapters" / "demo-xlabs.safetensors")


def sampled(nodes: dict, model: list) -> dict:
    return {
        "model": node("TinyFlux"),
        "image": node("LoadImage", image="grace_hopper.jpg"),
        "text": node("TinyText", seed=1),
        "nothing": node("TinyText", seed=2),
        "latent": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
        **nodes,
        "sampler": node(
            "KSampler",
            model=model,
            positive=["text", 0],
            negative=["nothing", 0],
            latent_image=["latent", 0],
            **{"seed": 1, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0},
        ),
        "shown": node("LatentPicture", samples=["sampler", 0]),
        "saved": node("SaveImage", images=["shown", 0], filename_prefix="flux"),
    }


XLABS = {"model": ["model", 0], "ip_adapter_flux": ["adapter", 0], "image": ["image", 0]}
STRENGTHS = {"begin_strength": 0.9, "end_strength": 0.1}
LOADED = {"ipadatper": "demo-xlabs.safetensors", "clip_vision": "demo-encoder.safetensors"}


def test_the_nodes_of_xlabs_steer_the_picture(run):
    loader = node("LoadFluxIPAdapter", **LOADED, provider="GPU")
    found = [run(sampled({}, ["model", 0]))]
    for it in (
        node("ApplyFluxIPAdapter", **XLABS),
        node("ApplyFluxIPAdapter", **XLABS, ip_scale=0.5),
        node("ApplyAdvancedFluxIPAdapter", **XLABS),
        node("ApplyAdvancedFluxIPAdapter", **XLABS, **STRENGTHS, smothing_type="Sigmoid"),
    ):
        found.append(run(sampled({"adapter": loader, "it": it}, ["it", 0])))
    seen = [each.pictures[0].tobytes() for each in found]
    assert len(set(seen)) == len(seen)
