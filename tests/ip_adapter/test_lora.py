"""A LoRA that does not fit the layers of its adapter is refused when it is loaded, in its file or beside it."""

import pytest
import torch

from image_prompt.devtools import published
from image_prompt.ip_adapter import load_adapter
from image_prompt.ip_adapter.lora import check_lora, from_companion

WIDTHS = [8] * 16


@pytest.fixture
def file():
    shapes = published.adapter(published.identity(768), WIDTHS, 768) | published.lora(WIDTHS, 768, rank=4)
    return published.fill(shapes, 1)


def test_a_whole_lora_is_loaded_beside_the_layers(file):
    lora = load_adapter(file, dtype=torch.bfloat16).lora
    assert len(lora) == 256
    for key, tensor in lora.items():
        number, name, side, _ = key.split(".")
        assert torch.equal(tensor, file[f"ip_adapter.{number}.{name}_lora.{side}.weight"].bfloat16())


@pytest.mark.parametrize(
    ("key", "tensor", "words"),
    [
        ("31.to_q_lora.up", None, "damaged: 31.to_q.down.weight is odd, or stands alone"),
        (
            "0.to_q_lora.up",
            torch.zeros(9, 4),
            r"to_q is \[9, 4\] times \[4, 8\], expected \[8, rank\] times \[rank, 8\]",
        ),
        ("0.to_q_lora.down", torch.zeros(5, 8), r"0.to_q is \[8, 4\] times \[5, 8\]"),
        ("1.to_k_lora.down", torch.zeros(4, 8), r"1.to_k is \[8, 4\] times \[4, 8\], expected .* \[rank, 768\]"),
        ("0.to_v_lora.down", torch.zeros(4, 768), r"0.to_v is \[8, 4\] times \[4, 768\], expected .* \[rank, 8\]"),
        ("0.to_v_lora.down", torch.zeros(4), r"0.to_v is \[8, 4\] times \[4\]"),
        ("5.to_out_lora.up", torch.full((8, 4), float("nan")), "NaN or infinity in 5.to_out.up.weight"),
        ("5.to_out_lora.up", torch.zeros(8, 4, dtype=torch.int8), r"not floating point: 5.to_out.up.weight"),
    ],
)
def test_a_damaged_lora_names_the_tensor(file, key, tensor, words):
    if tensor is None:
        del file[f"ip_adapter.{key}.weight"]
    else:
        file[f"ip_adapter.{key}.weight"] = tensor
    with pytest.raises(ValueError, match=words):
        load_adapter(file)


def test_a_lora_for_more_attentions_is_refused(file):
    for side, shape in (("down", (4, 8)), ("up", (8, 4))):
        file[f"ip_adapter.32.to_q_lora.{side}.weight"] = torch.zeros(shape)
    with pytest.raises(ValueError, match="does not fit: it has 32.to_q, and the adapter has 16 layers"):
        load_adapter(file)


def test_the_lora_of_another_model_is_refused():
    shapes = published.shapes("ip-adapter-faceid_sdxl_lora")
    lora = from_companion({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
    widths = [640] * 4 + [1280] * 50 + [640] * 6 + [1280] * 10
    check_lora(lora, widths, 2048)
    with pytest.raises(ValueError, match="does not fit"):
        check_lora(lora, [320] * 2 + [640] * 2 + [1280] * 5 + [640] * 3 + [320] * 3 + [1280], 768)


def test_the_published_companion_has_the_shapes_of_the_lora_inside():
    for unet in ("sd15", "sdxl"):
        inside, beside = (
            {key: torch.empty(shape, device="meta") for key, shape in published.shapes(name).items()}
            for name in (f"ip-adapter-faceid_{unet}", f"ip-adapter-faceid_{unet}_lora")
        )
        found = {key: tensor.shape for key, tensor in from_companion(beside).items()}
        assert found == {key: tensor.shape for key, tensor in load_adapter(inside).lora.items()}


def test_a_file_of_another_kind_is_no_companion():
    key = "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"
    with pytest.raises(ValueError, match=f"not the LoRA of a FaceID adapter: it holds {key}"):
        from_companion({key: torch.zeros(4, 4)})


@pytest.fixture
def anima():
    return published.fill(published.anima(8), 1)


def test_the_lora_of_anima_is_loaded_whole_as_peft_names_it(anima):
    named = {key.replace(".lora_A.", ".lora_A.default."): tensor for key, tensor in anima.items()}
    for file in (anima, named):
        lora = load_adapter(file).lora
        assert len(lora) == 2 * 10 * 28
        assert torch.equal(
            lora["27.mlp.layer2.down.weight"], anima["lora.base_model.model.blocks.27.mlp.layer2.lora_A.weight"]
        )


@pytest.mark.parametrize(
    ("key", "shape", "words"),
    [
        ("cross_attn.k_proj.lora_A", (4, 8), r"3.cross_attn.k_proj is \[8, 4\] times \[4, 8\], .* \[rank, 1024\]"),
        ("mlp.layer1.lora_B", (8, 4), r"3.mlp.layer1 is \[8, 4\] times \[4, 8\], expected \[32, rank\]"),
        ("mlp.layer3.lora_B", (8, 4), "damaged: 3.mlp.layer3.up.weight is odd"),
    ],
)
def test_a_lora_that_does_not_fit_anima_names_the_weight(anima, key, shape, words):
    anima[f"lora.base_model.model.blocks.3.{key}.weight"] = torch.zeros(shape)
    with pytest.raises(ValueError, match=words):
        load_adapter(anima)
