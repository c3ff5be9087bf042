"""What made a picture, read from files that Pillow writes as ComfyUI and A1111's web UI do, and from strange ones."""

import io
import json
import random
import struct
import time
from types import SimpleNamespace

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from image_prompt.devtools.stages import ROOT
from image_prompt.references.metadata import advise, generation, graph, summary
from image_prompt.references.metadata.generation import KEPT

A1111 = """a <b:c>, <lora:ink:0.8> in the rain, <lora:sub/old-paper:0.5:0.3>
second line
Negative prompt: ugly,
blurry: very
Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 123456789012, Size: 512x768, \
Model hash: 6ce0161689, Model: v1-5, Denoising strength: 0.4, \
ControlNet 0: "Module: ip-adapter_clip_sd15, Model: ip-adapter-plus_sd15 [32cd8f7f], Weight: 0.6, Guidance End: 0.7", \
Lora hashes: "ink: 1234, sub/old-paper: 5678", Version: v1.10.1"""
FROM_A1111 = {
    "program": "A1111",
    "model": "v1-5",
    "sampler": "DPM++ 2M",
    "scheduler": "Karras",
    "steps": 20,
    "cfg": 7.5,
    "seed": 123456789012,
    "denoise": 0.4,
    "size": [512, 768],
    "loras": [{"name": "ink", "weight": 0.8}, {"name": "sub/old-paper", "weight": 0.3}],
    "image_prompts": [{"node": "ControlNet", "adapter": "ip-adapter-plus_sd15", "weight": 0.6, "end": 0.7}],
    "prompt": "a <b:c>, <lora:ink:0.8> in the rain, <lora:sub/old-paper:0.5:0.3>\nsecond line",
    "negative": "ugly,\nblurry: very",
}


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


PROMPT = {  # a picture begun by one sampler, enlarged and finished by another; LoRAs, IPAdapter_plus
    "1": node("CheckpointLoaderSimple", ckpt_name="xl/base.safetensors"),
    "2": node("LoraLoader", model=["1", 0], lora_name="ink.safetensors", strength_model=0.8, strength_clip=1),
    "3": node("LoraLoaderModelOnly", model=["2", 0], lora_name="paper.safetensors", strength_model=-0.5),
    "4": node("IPAdapterModelLoader", ipadapter_file="ip-adapter-plus_sdxl_vit-h.safetensors"),
    "5": node(
        "IPAdapterAdvanced", model=["3", 0], ipadapter=["4", 0], image=["20", 0], weight=0.65,
        weight_type="style transfer", start_at=0.1, end_at=0.9,
    ),
    "6": node("CLIPTextEncode", clip=["2", 1], text=["21", 0]),
    "7": node("CLIPTextEncode", clip=["2", 1], text="blurry"),
    "8": node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0], strength=0.5),
    "9": node("EmptyLatentImage", width=832, height=1216, batch_size=1),
    "10": node(
        "KSampler", model=["5", 0], positive=["8", 0], negative=["8", 1], latent_image=["9", 0], seed=["22", 0],
        steps=30, cfg=5.5, sampler_name="dpmpp_2m", scheduler="karras", denoise=1.0,
    ),
    "11": node("LatentUpscale", samples=["10", 0], width=1664, height=2432),
    "12": node(
        "KSampler", model=["5", 0], positive=["8", 0], negative=["8", 1], latent_image=["11", 0], seed=2, steps=10,
        cfg=3.0, sampler_name="euler", scheduler="normal", denoise=0.4,
    ),
    "13": node("VAEDecode", samples=["12", 0], vae=["1", 2]),
    "14": node("SaveImage", images=["13", 0], filename_prefix="x"),
    "20": node("LoadImage", image="reference.png"),
    "21": node("StringConcatenate", string_a="a red fox", string_b="in snow", delimiter=", "),
    "22": node("PrimitiveInt", value=77),
}  # fmt: skip
FROM_PROMPT = {
    "program": "ComfyUI",
    "model": "xl/base.safetensors",
    "loras": [{"name": "ink.safetensors", "weight": 0.8}, {"name": "paper.safetensors", "weight": -0.5}],
    "sampler": "dpmpp_2m",
    "scheduler": "karras",
    "steps": 30,
    "cfg": 5.5,
    "seed": 77,
    "denoise": 1.0,
    "size": [832, 1216],
    "prompt": "a red fox, in snow",
    "negative": "blurry",
    "image_prompts": [
        {
            "node": "IPAdapterAdvanced",
            "adapter": "ip-adapter-plus_sdxl_vit-h.safetensors",
            "layers": "style transfer",
            "weight": 0.65,
            "start": 0.1,
            "end": 0.9,
        }
    ],
}


def png(path, **texts):
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    Image.new("RGB", (3, 2)).save(path, "PNG", pnginfo=info)
    return path


def of_prompt(tmp_path, prompt) -> dict:
    found = generation(png(tmp_path / "picture.png", prompt=json.dumps(prompt)))
    assert json.loads(found.pop("raw")["prompt"]) == prompt
    return found


def test_a_prompt_of_comfyui_is_followed_from_the_first_sampler(tmp_path):
    assert of_prompt(tmp_path, PROMPT) == FROM_PROMPT


def test_the_parameters_of_a1111_are_read_from_png(tmp_path):
    found = generation(png(tmp_path / "picture.png", parameters=A1111))
    assert found.pop("raw") == {"parameters": A1111}
    assert found == FROM_A1111


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
@pytest.mark.parametrize(
    "order, codec", [("MM", "utf-16-be"), ("MM", "utf-16-le"), ("II", "utf-16-le"), ("MM", "utf-16")]
)
def test_and_from_the_user_comment_of_jpeg_and_webp(tmp_path, format, order, codec):
    exif, file = Image.Exif(), tmp_path / "picture"
    exif.endian = "<" if order == "II" else ">"
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + A1111.replace("ugly", "hässlich 醜い").encode(codec)
    Image.new("RGB", (8, 8)).save(file, format, exif=exif.tobytes())
    found = generation(file)
    assert found["negative"] == "hässlich 醜い,\nblurry: very"
    assert found["model"] == "v1-5" and found["loras"] == FROM_A1111["loras"]


def test_webp_of_comfyui_holds_the_prompt_in_the_tags_of_a_camera(tmp_path):
    exif = Image.Exif()
    exif[0x0110], exif[0x010F] = f"prompt:{json.dumps(PROMPT)}", 'workflow:{"nodes": []}'
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.webp", exif=exif)
    found = generation(tmp_path / "picture.webp")
    assert found["raw"]["workflow"] == '{"nodes": []}'
    assert {name: value for name, value in found.items() if name != "raw"} == FROM_PROMPT


def test_custom_samplers_say_it_in_nodes_of_their_own(tmp_path):
    prompt = {
        "1": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
        "2": node("Power Lora Loader (rgthree)", model=["1", 0], lora_1={"on": True, "lora": "a", "strength": 0.7},
                  lora_2={"on": False, "lora": "b", "strength": 1}),
        "3": node("Reroute", **{"": ["2", 0]}),
        "4": node("CLIPTextEncodeFlux", clip=["9", 0], clip_l="fox", t5xxl="a fox in snow", guidance=3.5),
        "5": node("BasicGuider", model=["3", 0], conditioning=["4", 0]),
        "6": node("RandomNoise", noise_seed=5),
        "7": node("KSamplerSelect", sampler_name="euler"),
        "8": node("BasicScheduler", model=["2", 0], scheduler="beta", steps=20, denoise=1.0),
        "10": node("EmptySD3LatentImage", width=1024, height=768, batch_size=1),
        "11": node("SamplerCustomAdvanced", noise=["6", 0], guider=["5", 0], sampler=["7", 0], sigmas=["8", 0],
                   latent_image=["10", 0]),
        "12": node("SaveImage", images=["11", 0]),
    }  # fmt: skip
    assert of_prompt(tmp_path, prompt) == {
        "program": "ComfyUI",
        "model": "flux1-dev.safetensors",
        "loras": [{"name": "a", "weight": 0.7}],
        "sampler": "euler",
        "scheduler": "beta",
        "steps": 20,
        "seed": 5,
        "denoise": 1.0,
        "guidance": 3.5,
        "size": [1024, 768],
        "prompt": "fox\na fox in snow",
    }


@pytest.mark.parametrize(
    "path", sorted((ROOT / "example_workflows" / "api").glob("*.json")), ids=lambda path: path.stem
)
def test_every_example_says_its_model_and_the_weights_of_its_references(path, tmp_path):
    prompt = json.loads(path.read_text())
    found = of_prompt(tmp_path, prompt)
    by_type = {row["class_type"]: row["inputs"] for row in prompt.values()}
    rows = [
        row["inputs"] for row in prompt.values() if row["class_type"] in ("ImagePromptApply", "ImagePromptReference")
    ]
    told = found.get("image_prompts", [])
    assert sorted(row["weight"] for row in told) == sorted(row["weight"] for row in rows)
    assert all(row["adapter"] == by_type["ImagePromptLoadAdapter"]["adapter_name"] for row in told)
    sampler = by_type["KSampler"]
    assert [found[name] for name in ("sampler", "scheduler", "steps", "cfg", "seed")] == [
        sampler[name] for name in ("sampler_name", "scheduler", "steps", "cfg", "seed")
    ]
    assert found["model"].endswith(".safetensors") and found["prompt"] and found["size"][0] >= 512


def test_a_reference_that_is_off_is_not_told(tmp_path):
    prompt = {
        **PROMPT,
        "5": node("ImagePromptApplyReferences", model=["3", 0], adapter=["4", 0],
                  **{"references.reference_0": ["30", 0], "references.reference_1": ["31", 0]}),
        "30": node("ImagePromptReference", on=False, weight=0.2),
        "31": node("ImagePromptReference", on=True, weight=["32", 0], layers="style"),
        "32": node("PrimitiveFloat", value=0.4),
    }  # fmt: skip
    (row,) = of_prompt(tmp_path, prompt)["image_prompts"]
    assert (row["weight"], row["layers"], row["node"]) == (0.4, "style", "ImagePromptReference")


def test_links_in_a_circle_end(tmp_path):
    prompt = json.loads(json.dumps(PROMPT))
    prompt["9"]["inputs"]["samples"] = ["12", 0]
    prompt["1"]["inputs"] = {"model": ["5", 0]}
    prompt["6"]["inputs"]["text"] = ["21", 0]
    prompt["21"] = node("Reroute", x=["6", 0])
    prompt["8"]["inputs"]["positive"] = ["8", 0]
    assert of_prompt(tmp_path, prompt)["program"] == "ComfyUI"


def test_long_texts_are_left_out_and_named(tmp_path):
    long = json.dumps({"nodes": "x" * KEPT})
    found = generation(png(tmp_path / "picture.png", workflow=long, prompt=json.dumps(PROMPT)))
    assert found["left_out"] == ["workflow"] and list(found["raw"]) == ["prompt"]
    assert found["model"] == FROM_PROMPT["model"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "[" * 100_000, '{"1": {"class_type": "KSampler", "inputs": []}}',
     '{"1": 1, "2": {"inputs": 3}}',
     '{"1": {"class_type": "KSampler", "inputs": {"model": [1, 2, 3], "seed": NaN, "steps": {}, "cfg": [1]}}}',
     '{"1": {"class_type": "KSampler", "inputs": {"model": ["1", 0], "positive": ["1", 0], "latent_image": ["1", 0], '
     '"seed": 1e999, "steps": true, "sampler_name": 7}}}'],
)  # fmt: skip
def test_what_is_no_prompt_tells_nothing_and_raises_nothing(tmp_path, text):
    found = generation(png(tmp_path / "picture.png", prompt=text, parameters=text))
    assert found.keys() <= {"raw", "program"}


def test_strange_files_raise_nothing(tmp_path):
    exif, jpeg, webp = Image.Exif(), io.BytesIO(), io.BytesIO()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + A1111.encode("utf-16-be")
    exif[0x0110] = f"prompt:{json.dumps(PROMPT)}"
    Image.new("RGB", (8, 8)).save(jpeg, "JPEG", exif=exif.tobytes())
    Image.new("RGB", (8, 8)).save(webp, "WEBP", exif=exif.tobytes())
    whole = [png(tmp_path / "whole.png", prompt=json.dumps(PROMPT)).read_bytes(), jpeg.getvalue(), webp.getvalue()]
    draw, path = random.Random(0), tmp_path / "strange"
    for number in range(600):
        data = bytearray(whole[number % 3])
        for _ in range(draw.randint(1, 8)):
            data[draw.randrange(min(len(data), 400))] = draw.choice([0, 0xFF, 0x7F, draw.randrange(256)])
        path.write_bytes(data[: draw.choice([len(data), draw.randrange(len(data))])])
        json.dumps(generation(path))
    endless = b"II*\0" + struct.pack("<IHHHII", 8, 0xFFFF, 0x8769, 4, 1, 8)
    path.write_bytes(b"\xff\xd8\xff\xe1" + struct.pack(">H", len(endless) + 8) + b"Exif\0\0" + endless)
    assert generation(path) == {}
    for strange in (tmp_path, tmp_path / "not there"):
        assert generation(strange) == {}


def chain(count: int, name: str, **inputs: object) -> dict:
    """Nodes of which each takes something from the next."""
    return {f"{name}{at}": node("X", **{name: [f"{name}{at + 1}", 0]}, **inputs) for at in range(count)}


LAST = {
    "last": node("KSampler", model=["model0", 0], positive=["model0", 0], latent_image=["none", 0], seed=1),
    "saved": node("SaveImage", images=["last", 0]),
}
SLOW = {
    "a model through thousands of nodes": LAST | chain(9_000, "model"),
    "many ends": chain(4_000, "a") | {f"end{at}": node("SaveImage", images=["a0", 0]) for at in range(4_000)},
    "many samplers": {
        f"s{at}": node("KSampler", model=["m", 0], positive=["m", 0], latent_image=[f"s{at + 1}", 0], seed=1)
        for at in range(5_000)
    },
    "stacks of LoRAs at every node": LAST
    | chain(4_000, "model", lora_stack=["lora_stack0", 0])
    | chain(500, "lora_stack", lora_name="a", strength=1),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_prompt_that_is_made_to_be_slow_ends_soon(name, tmp_path, monkeypatch):
    followed = []
    before = graph.Prompt.before
    monkeypatch.setattr(graph.Prompt, "before", lambda *given: followed.append(0) or before(*given))
    generation(png(tmp_path / "picture.png", prompt=json.dumps(SLOW[name])))
    assert 0 < len(followed) <= graph.STEPS


@pytest.mark.parametrize("text", ["Steps: 1, " + " " * 20_000, "Steps: 1, " + "a" * 20_000, "<lora:a" * 30_000])
def test_parameters_that_are_made_to_be_slow_end_soon(text, tmp_path):
    begin = time.process_time()
    generation(png(tmp_path / "picture.png", parameters=text))
    assert time.process_time() - begin < 5


def test_directories_of_exif_that_point_to_each_other_end_soon(tmp_path):
    def directory(tag: int, kind: int, count: int, place: int) -> bytes:
        return struct.pack("<H", 1000) + struct.pack("<HHII", tag, kind, count, place) * 1000

    begin, size = time.process_time(), 8 << 20
    tiff = b"II*\0" + struct.pack("<I", 8) + directory(0x8769, 4, 1, 8 + 12_002) + directory(1, 2, size, 0)
    tiff = tiff.ljust(size, b"a")
    chunk = b"EXIF" + struct.pack("<I", len(tiff)) + tiff
    (tmp_path / "picture.webp").write_bytes(b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk)
    assert generation(tmp_path / "picture.webp") == {}
    assert time.process_time() - begin < 5


def made(path: str, metadata: object, rating: int = 0) -> SimpleNamespace:
    return SimpleNamespace(path=path, metadata=metadata, rating=rating)


def test_advice_counts_and_names_its_sources():
    other = {**FROM_PROMPT, "model": "other", "loras": [{"name": "ink.safetensors", "weight": 0.4}] * 2, "cfg": 5.5}
    advice = advise(
        [
            made("a.png", FROM_PROMPT),
            made("b.png", other, 1),
            made("c.png", {}),
            made("d.png", {"loras": 3, "model": 1}),
        ]
    )
    assert (advice.pictures, advice.described) == (4, 2)
    topics = {topic.name: topic for topic in advice.topics}
    model = topics["model"].values
    assert [(each.value, each.count, each.liked, each.sources) for each in model] == [
        ("other", 1, 1, ("b.png",)),
        ("xl/base.safetensors", 1, 0, ("a.png",)),
    ]
    ink, paper = topics["loras"].values
    assert (ink.value, ink.count, ink.weights, ink.sources) == (
        "ink.safetensors",
        2,
        (0.4, 0.4, 0.8),
        ("a.png", "b.png"),
    )
    assert (paper.count, paper.weights, topics["loras"].said) == (1, (-0.5, -0.5, -0.5), 2)
    assert topics["cfg"].values[0].value == "5.5" and topics["cfg"].values[0].count == 2
    assert topics["image_prompts"].values[0].value == "ip-adapter-plus_sdxl_vit-h.safetensors, style transfer"
    assert topics["image_prompts"].values[0].weights == (0.65, 0.65, 0.65)
    assert "guidance" not in topics
    assert json.loads(json.dumps(advice.as_json()))["topics"][0]["values"][0]["sources"] == ["b.png"]


def test_a_summary_is_one_line():
    assert summary(FROM_PROMPT) == (
        "xl/base.safetensors, LoRA ink.safetensors 0.8, LoRA paper.safetensors -0.5, dpmpp_2m karras, 30 steps, "
        "CFG 5.5, seed 77, image prompt ip-adapter-plus_sdxl_vit-h.safetensors 0.65"
    )
    assert summary({}) == summary(None) == ""
