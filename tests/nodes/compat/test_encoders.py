"""The encoder that an adapter reads is taken, whichever is connected; where there is none, it is explained."""

import gc
import logging
import weakref

import pytest
import tiny
import torch
from comfy.clip_vision import ClipVisionModel
from own_files import put_encoder

from image_prompt.devtools import published
from image_prompt.nodes.compat import encoders
from image_prompt.nodes.compat.encoders import encoder_for
from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.table import NODES
from image_prompt.nodes.compat.wired import Wires
from image_prompt.nodes.encoding.encode import EncodeImagePrompt
from image_prompt.nodes.encoding.encoder import CoreEncoder
from image_prompt.nodes.loading.load import load_encoder

VIT_H, BIG_G, VIT_L = (1280, 1024, 224), (1664, 1280, 224), (1024, 768, 224)
VIT_L_336 = (1024, 768, 336)


def from_core(width, projection, size):
    """An encoder as core's loader gives it, as wide as a published one and of one thin layer."""
    config = {
        "hidden_size": width,
        "projection_dim": projection,
        "image_size": size,
        "patch_size": 14,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
        "hidden_act": "gelu",
        "num_channels": 3,
        "model_type": "clip_vision_model",
    }
    return ClipVisionModel(config)


def published_adapter(layout):
    """The parts of a published adapter, with zeros for its values, which take no memory."""
    shapes = published.shapes(layout)
    return published.nested({key: torch.zeros(()).expand(shape) for key, shape in shapes.items()})


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("layout", "sizes"),
    [
        ("ip-adapter_sd15", VIT_H),
        ("ip-adapter-plus_sd15", VIT_H),
        ("ip-adapter-full-face_sd15", VIT_H),
        ("ip-adapter_sdxl_vit-h", VIT_H),
        ("ip-adapter_sdxl", BIG_G),
        ("ip-adapter_sd15_vit-G", BIG_G),
        ("Kolors-IP-Adapter-Plus", VIT_L_336),
    ],
)
def test_an_encoder_of_core_is_known_by_its_sizes(layout, sizes, folders, caplog):
    adapter = published_adapter(layout)
    for other in (VIT_H, BIG_G, VIT_L, VIT_L_336):
        wired = from_core(*other)
        if other == sizes:
            found = encoder_for(adapter, wired)
            assert isinstance(found, CoreEncoder) and found.model is wired.model
        else:
            with pytest.raises(
                ValueError, match=r"The clip_vision is CLIP .*, and ipadapter of another pack reads CLIP"
            ):
                encoder_for(adapter, wired)
    assert not warnings(caplog)


@pytest.fixture
def small(model):
    """An adapter whose encoder is a tiny one that `put_encoder` writes."""
    return published.nested(tiny.base_file(model))


def test_the_encoder_that_is_connected_is_taken_if_it_is_right(small, encoder, folders, caplog):
    put_encoder(folders)
    assert encoder_for(small, encoder) is encoder
    assert encoder_for({"ipadapter": {"model": small}, "clipvision": {"model": encoder}}) is encoder
    assert not warnings(caplog)


def test_the_one_that_is_connected_wins_over_that_of_the_pipe(small, encoder, folders):
    piped = {"ipadapter": {"model": small}, "clipvision": {"model": tiny.encoder()}}
    assert encoder_for(piped, encoder) is encoder


@pytest.mark.parametrize(
    "wired", [lambda: tiny.encoder(projection=16), lambda: from_core(*BIG_G)], ids=["ours", "core"]
)
def test_the_right_one_on_the_disk_takes_the_place_of_a_wrong_one(small, wired, folders, caplog, pictures):
    put_encoder(folders, "clip_vision/SD1.5/model.safetensors")
    found = encoder_for(small, wired())
    assert found is load_encoder("SD1.5/model.safetensors")
    (line,) = warnings(caplog)
    named = (
        "tiny CLIP" if wired().__class__.__name__ == "ImageEncoder" else "CLIP ViT-bigG/14 for pictures of 224 pixels"
    )
    assert line == (
        f"The clip_vision is {named}, and ipadapter of another pack reads an encoder whose image_embeds is 24 wide: "
        "clip_vision/SD1.5/model.safetensors is used instead."
    )
    assert EncodeImagePrompt.execute(found, pictures).args[0].image_embeds.shape[-1] == 24


def test_swarm_connects_the_largest_encoder_to_a_file_that_reads_another(folders, caplog, monkeypatch):
    path = folders / "clip_vision" / "clip_vision_h.safetensors"
    published.write_header(path, published.shapes(published.VIT_H))
    taken = []
    monkeypatch.setattr(encoders, "load_encoder", lambda name: taken.append(name) or tiny.encoder())
    encoder_for(published_adapter("ip-adapter-plus_sdxl_vit-h"), from_core(*BIG_G))
    assert taken == ["clip_vision_h.safetensors"]
    (line,) = warnings(caplog)
    assert "is CLIP ViT-bigG/14 " in line and "reads CLIP ViT-H/14" in line


def test_without_a_connection_it_is_taken_from_the_disk(small, folders, caplog):
    put_encoder(folders)
    assert encoder_for(small) is load_encoder("anything.safetensors")
    assert not warnings(caplog)


def test_it_is_kept_as_long_as_the_adapter_is_there(small, folders):
    put_encoder(folders)
    first = weakref.ref(encoder_for(small))
    gc.collect()
    assert first() and encoder_for(small) is first()
    small.clear()
    gc.collect()
    assert not first()


def test_what_a_node_was_connected_to_is_let_go_at_once(small, model):
    connected = weakref.ref(wires := Wires(node_class(NODES[-1], "pack")(), model, small))
    gc.disable()
    del wires
    found = connected()
    gc.enable()
    assert found is None


@pytest.mark.parametrize(
    ("wired", "said"),
    [
        (None, r"ipadapter of another pack reads CLIP ViT-H/14: connect that encoder to clip_vision\."),
        (from_core(*BIG_G), r"The clip_vision is CLIP ViT-bigG/14 .*reads CLIP ViT-H/14: connect that encoder\."),
    ],
)
def test_where_there_is_none_it_says_which_to_get(wired, said, folders):
    with pytest.raises(ValueError, match=rf"(?s){said}\nNot found: .*Get CLIP-ViT-H-14.*models/clip_vision"):
        encoder_for(published_adapter("ip-adapter_sd15"), wired)


def test_what_is_no_encoder_is_refused(small, folders):
    with pytest.raises(ValueError, match="The clip_vision is the text 'a word': connect Load Image Encoder"):
        encoder_for(small, "a word")


def test_an_encoder_without_its_projection_will_not_do_for_what_reads_it(folders):
    config = tiny.encoder().model.config
    headless = tiny.encoder()
    headless.model.config = type(config)(**{**vars(config), "name": "CLIP ViT-H/14", "projection": None})
    headless.name = "CLIP ViT-H/14"
    with pytest.raises(ValueError, match="Not found: image encoder CLIP ViT-H/14 with its visual projection"):
        encoder_for(published_adapter("ip-adapter_sd15"), headless)
