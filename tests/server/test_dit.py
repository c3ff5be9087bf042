"""Small files of Flux and SD3.5 that ComfyUI's own loader takes are sampled with adapters through the queue."""

import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file

from image_prompt.demo.make_models import ENCODER_WIDTH
from image_prompt.devtools import published

from .old_graphs import node

sys.path.append(str(Path(__file__).parents[1] / "nodes"))

import tiny  # noqa: E402

WIDTH = 128


@pytest.fixture(scope="module", autouse=True)
def files(server):
    """A model with heads as wide as usual, which ComfyUI tells by, and an adapter for it. Flux is among the demo's."""
    model, folder = tiny.sd3(heads=WIDTH // 64, blocks=WIDTH // 64), server.base / "models"
    tensors = {key: tensor.bfloat16() for key, tensor in model.model.diffusion_model.state_dict().items()}
    save_file(tensors, folder / "diffusion_models" / "demo-sd35.safetensors")
    timed = published.time_resampler(WIDTH, ENCODER_WIDTH, depth=1, tokens=4)
    shapes = published.numbered(timed, [published.timed_layer(WIDTH, WIDTH, 64)] * 38)
    adapter = published.halves(published.fill(shapes, 5, louder={"to_v_ip": 3.0}))
    save_file(adapter, folder / "ipadapter" / "demo-sd35.safetensors")


def sampled(kind: str, adapter: str) -> dict:
    """adapter: its name; "" for none"""
    text = {"pooled": 2048 if kind == "sd35" else 768}
    model = "deep" if kind == "sd35" else "model"
    graph = {
        "model": node("UNETLoader", unet_name=f"demo-{kind}.safetensors", weight_dtype="default"),
        "deep": node("Deepened", model=["model", 0]),
        "text": node("TinyText", seed=1, **text),
        "nothing": node("TinyText", seed=2, **text),
        "latent": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
        "image": node("LoadImage", image="grace_hopper.jpg"),
        "encoder": node("ImagePromptLoadEncoder", encoder_name="demo-encoder.safetensors"),
        "features": node("ImagePromptEncode", clip_vision=["encoder", 0], image=["image", 0]),
        "adapter": node("ImagePromptLoadAdapter", adapter_name=f"demo-{adapter}.safetensors"),
        "it": node(
            "ImagePromptApply",
            model=[model, 0],
            adapter=["adapter", 0],
            features=["features", 0],
            **{"weight": 1.0, "start": 0.0, "end": 1.0},
        ),
        "sampler": node(
            "KSampler",
            model=["it" if adapter else model, 0],
            positive=["text", 0],
            negative=["nothing", 0],
            latent_image=["latent", 0],
            **{"seed": 1, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0},
        ),
        "shown": node("LatentPicture", samples=["sampler", 0]),
        "saved": node("SaveImage", images=["shown", 0], filename_prefix="dit"),
    }
    return graph


@pytest.mark.parametrize("kind, adapters", [("flux", ("xlabs", "instantx")), ("sd35", ("sd35",))])
def test_an_adapter_steers_the_picture(run, kind, adapters):
    found = [run(sampled(kind, adapter)).pictures[0] for adapter in ("", *adapters)]
    assert all(picture.std() > 1 for picture in found)
    assert len({picture.tobytes() for picture in found}) == len(found)
