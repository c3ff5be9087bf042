"""The loaders find, share and refuse files."""

import asyncio
import gc
import importlib
import os
import pickle
import re
import weakref
from contextlib import nullcontext
from pathlib import Path

import comfy.memory_management
import comfy.ops
import folder_paths
import pytest
import tiny
import torch
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from image_prompt.model_files import read_header
from image_prompt.model_files.environment import pack_version
from image_prompt.nodes import NODES, ImagePromptExtension
from image_prompt.nodes.applying.apply import ApplyImagePrompt
from image_prompt.nodes.compat.registration import counts
from image_prompt.nodes.encoding.encode import EncodeImagePrompt
from image_prompt.nodes.folders import register_folders
from image_prompt.nodes.loading.load import LoadImageEncoder, LoadImagePromptAdapter
from image_prompt.tensor_files.weights import Weights


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Folders for ipadapter and clip_vision below tmp_path, and nowhere else."""
    register_folders()
    for name in ("ipadapter", "clip_vision"):
        (tmp_path / name).mkdir()
        extensions = folder_paths.folder_names_and_paths[name][1]
        monkeypatch.setitem(folder_paths.folder_names_and_paths, name, ([str(tmp_path / name)], extensions))
        folder_paths.filename_list_cache.pop(name, None)
    yield tmp_path
    for name in ("ipadapter", "clip_vision"):
        folder_paths.filename_list_cache.pop(name, None)


def load_adapter(name):
    return LoadImagePromptAdapter.execute(name).args[0]


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_an_adapter_file_is_loaded(folders, suffix):
    file = tiny.base_file(tiny.unet("SD1.5"))
    path = folders / "ipadapter" / f"tiny.{suffix}"
    if suffix == "safetensors":
        save_file(file, path)
    else:
        parts = {
            part: {key.removeprefix(f"{part}."): value for key, value in file.items() if key.startswith(part)}
            for part in ("image_proj", "ip_adapter")
        }
        torch.save(parts, path)
    adapter = load_adapter(path.name)
    assert (adapter.module.base_model, adapter.module.num_tokens, len(adapter.module.layer_widths)) == ("SD1.5", 4, 16)
    torch.testing.assert_close(adapter.module.layers[3].to_k_ip.weight, file["ip_adapter.7.to_k_ip.weight"])


def test_each_load_is_one_line_at_debug_level_and_the_start_one_at_info(folders, caplog):
    caplog.set_level("DEBUG")
    asyncio.run(ImagePromptExtension().on_load())
    save_file(tiny.base_file(tiny.unet("SD1.5")), folders / "ipadapter" / "a.safetensors")
    (folders / "clip_vision" / "sub").mkdir()
    save_file(tiny.encoder_file(), folders / "clip_vision" / "sub" / "e.safetensors", metadata=tiny.DESCRIPTION)
    kept = load_adapter("a.safetensors"), load_adapter("a.safetensors")
    name = os.path.join("sub", "e.safetensors")
    kept += (LoadImageEncoder.execute(name, dtype="bf16"),)
    ours = [record for record in caplog.records if record.name.startswith("image_prompt")]
    said = [(record.levelname, re.sub(r"\d+\.\d\d s", "0 s", record.getMessage())) for record in ours]
    assert said == [
        ("INFO", f"Image Prompt {pack_version()}: {len(NODES)} nodes, and {counts()}."),
        ("DEBUG", "Loaded a.safetensors: base for SD1.5, float32, on cpu, in 0 s."),
        ("DEBUG", f"Loaded {name}: tiny CLIP, bfloat16, on cpu, in 0 s."),
    ]


def test_an_encoder_file_is_loaded(folders):
    save_file(tiny.encoder_file(), folders / "clip_vision" / "tiny.safetensors", metadata=tiny.DESCRIPTION)
    encoder = LoadImageEncoder.execute("tiny.safetensors", dtype="fp32").args[0]
    assert (encoder.name, encoder.image_size, encoder.dtype) == ("tiny CLIP", 32, torch.float32)
    assert LoadImageEncoder.execute("tiny.safetensors", dtype="bf16").args[0].dtype == torch.bfloat16


@pytest.mark.parametrize(("folder", "activation"), [("CLIP-ViT-B-32-laion2B-s34B-b79K", "gelu"), ("b32", "quick_gelu")])
def test_an_encoder_is_known_by_its_folder(folders, folder, activation, monkeypatch):
    """The word laion is in no part of the path except the folder that ComfyUI lists."""
    name = os.path.join(folder, "model.safetensors")
    (folders / "clip_vision" / folder).mkdir()
    shapes = {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "patch_size": 32,
        "projection_dim": 8,
    }
    with torch.device("meta"):
        meta = CLIPVisionModelWithProjection(CLIPVisionConfig(**shapes)).state_dict()
    file = {key: tensor.new_zeros(1, device="cpu").half().expand(tensor.shape) for key, tensor in meta.items()}
    (folders / "clip_vision" / name).touch()
    read = Weights(file, {}, lambda key, dtype: file[key].to(dtype))
    module = importlib.import_module("image_prompt.clip_vision.files.from_file")
    monkeypatch.setattr(module, "named_weights", lambda *_: nullcontext(read))
    encoder = LoadImageEncoder.execute(name, dtype="fp16").args[0]
    assert encoder.model.config.activation == activation


def test_an_encoder_can_be_saved_again(folders):
    file = tiny.encoder_file()
    save_file(file, folders / "clip_vision" / "tiny.safetensors", metadata=tiny.DESCRIPTION)
    saved = LoadImageEncoder.execute("tiny.safetensors", dtype="fp32").args[0].get_sd()
    for key, value in file.items():
        if not key.endswith("position_ids"):
            torch.testing.assert_close(saved[key], value, rtol=0, atol=0)


def test_a_file_is_loaded_once_and_held_by_its_users_alone(folders):
    path = folders / "ipadapter" / "tiny.safetensors"
    save_file(tiny.base_file(tiny.unet("SD1.5")), path)
    first = load_adapter("tiny.safetensors")
    assert load_adapter("tiny.safetensors") is first
    os.utime(path, ns=(1, 1))
    assert load_adapter("tiny.safetensors") is not first  # the file changed
    gone = weakref.ref(first.module)
    del first
    gc.collect()
    assert gone() is None


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("bombed",)


def html(path):
    path.write_text("<!DOCTYPE html><html>Sign in</html>")


def truncated(path):
    save_file(tiny.base_file(tiny.unet("SD1.5")), path)
    path.write_bytes(path.read_bytes()[:-1000])


def lora(path):
    save_file({"lora_unet_down_blocks_0_attentions_0.lora_down.weight": torch.zeros(4, 8)}, path)


def vae(path):
    save_file(
        {"decoder.conv_in.weight": torch.zeros(8, 4, 3, 3), "encoder.conv_in.weight": torch.zeros(8, 3, 3, 3)}, path
    )


def checkpoint(path):
    save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(8, 4, 3, 3)}, path)


class Identity(torch.nn.Module):
    def forward(self, x):
        return x


def torchscript(path):
    torch.jit.script(Identity()).save(str(path))


def cut_torchscript(path):
    torchscript(path)
    path.write_bytes(path.read_bytes()[:-100])


BAD_ADAPTERS = {
    "empty.safetensors": (lambda path: path.write_bytes(b""), "is empty"),
    "page.safetensors": (html, "is a web page"),
    "cut.safetensors": (truncated, r"is cut short: [\d,]+ of [\d,]+ bytes are here"),
    "pointer.bin": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid"), "Git LFS"),
    "answer.bin": (lambda path: path.write_text('{"error": "not found"}'), "is not a model file: it begins with"),
    "noise.safetensors": (lambda path: path.write_bytes(bytes(range(1, 255)) * 9), "not a model file: it begins with"),
    "noise.bin": (lambda path: path.write_bytes(bytes(range(1, 255)) * 9), "noise.bin"),
    "bomb.bin": (
        lambda path: path.write_bytes(pickle.dumps({"image_proj": Bomb()}, protocol=2)),
        r"more than tensors.*It asks for \w+\.mkdir",
    ),
    "module.bin": (
        lambda path: torch.save(torch.nn.Linear(2, 2), path),
        r"more than tensors.*It asks for torch\.nn\.modules\.linear\.Linear",
    ),
    "ViT-L-14.pt": (torchscript, r"a TorchScript archive.* code.*not run.*transformers version \(model.safetensors\)"),
    "cut.pt": (cut_torchscript, "is cut short: it begins as a torch archive"),
    "number.bin": (lambda path: torch.save({"image_proj": {"proj.weight": 3}, "ip_adapter": {}}, path), "number.bin"),
    "tensor.bin": (lambda path: torch.save(torch.zeros(3), path), "tensor.bin"),
    "lora.safetensors": (lora, "(?i)lora"),
    "vae.safetensors": (vae, "(?i)vae"),
    "sd15.safetensors": (checkpoint, "(?i)checkpoint|diffusion model"),
    "clip.safetensors": (lambda path: save_file(tiny.encoder_file(), path), "(?i)clip|encoder"),
}


@pytest.mark.parametrize("name", BAD_ADAPTERS)
def test_a_file_that_is_no_adapter_is_refused_with_its_reason(folders, name, monkeypatch):
    monkeypatch.chdir(folders)
    write, words = BAD_ADAPTERS[name]
    write(folders / "ipadapter" / name)
    with pytest.raises(ValueError, match=words) as error:
        load_adapter(name)
    assert name in str(error.value) and str(folders) not in str(error.value)
    assert "weights_only` set to" not in str(error.value)
    assert not (folders / "bombed").exists()


def test_torchs_advice_to_run_a_file_is_not_passed_on(folders, monkeypatch):
    def load(*_, **__):
        raise RuntimeError("No legacy .tar format. In PyTorch 2.6, ... `weights_only` set to `False` will succeed.")

    monkeypatch.setattr(torch, "load", load)
    torch.save({}, folders / "ipadapter" / "old.bin")
    with pytest.raises(ValueError, match=r"No legacy .tar format\. It is damaged") as error:
        load_adapter("old.bin")
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize("name", ["lora.safetensors", "sd15.safetensors", "page.safetensors", "ViT-L-14.pt"])
def test_a_file_that_is_no_encoder_is_refused_with_its_reason(folders, name):
    write, words = BAD_ADAPTERS[name]
    write(folders / "clip_vision" / name)
    with pytest.raises(ValueError, match=words):
        LoadImageEncoder.execute(name)


def test_an_adapter_is_not_an_encoder(folders):
    save_file(tiny.base_file(tiny.unet("SD1.5")), folders / "clip_vision" / "ip.safetensors")
    with pytest.raises(ValueError, match="(?i)ip-adapter"):
        LoadImageEncoder.execute("ip.safetensors")


def test_a_file_that_goes_while_it_is_opened(folders, monkeypatch):
    path = folders / "ipadapter" / "tiny.safetensors"
    save_file(tiny.base_file(tiny.unet("SD1.5")), path)
    monkeypatch.setattr(
        "image_prompt.tensor_files.weights.read_header", lambda file, *_: read_header(path.unlink() or file)
    )
    with pytest.raises(ValueError, match=r"^There is no file tiny\.safetensors: give the path"):
        load_adapter("tiny.safetensors")


def test_a_name_that_lies_about_the_container_is_no_matter(folders):
    file = tiny.base_file(tiny.unet("SD1.5"))
    save_file(file, folders / "ipadapter" / "a.bin")
    torch.save({"state_dict": file, "epoch": 3}, folders / "ipadapter" / "b.safetensors")
    for name in ("a.bin", "b.safetensors"):
        assert torch.equal(load_adapter(name).module.layers[3].to_k_ip.weight, file["ip_adapter.7.to_k_ip.weight"])


def test_a_file_may_be_overwritten_and_cut_once_it_is_loaded(folders):
    """If a file were memory-mapped, cutting it would end the process."""
    paths = [folders / "clip_vision" / "tiny.safetensors", folders / "ipadapter" / "tiny.safetensors"]
    save_file(tiny.encoder_file(), paths[0], metadata=tiny.DESCRIPTION)
    save_file(tiny.base_file(tiny.unet("SD1.5")), paths[1])
    encoder, adapter = LoadImageEncoder.execute(paths[0].name, dtype="fp32").args[0], load_adapter(paths[1].name).module
    assert not any(str(path) in Path("/proc/self/maps").read_text() for path in paths if os.path.exists("/proc"))
    pixels = torch.rand(1, 3, 32, 32)

    def keys_and_values():
        return adapter.key_value(adapter.tokens(encoder.model(pixels).image_embeds))

    before = keys_and_values()
    for path in paths:
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.truncate(100)
    torch.testing.assert_close(keys_and_values(), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("loader", "folder"), [(LoadImageEncoder, "clip_vision"), (LoadImagePromptAdapter, "ipadapter")]
)
def test_a_loader_runs_again_when_its_file_was_replaced(folders, loader, folder):
    paths = [folders / folder / name for name in ("a.safetensors", "b.safetensors")]
    for path in paths:
        path.write_bytes(b"1")
    first, second = loader.fingerprint_inputs("a.safetensors"), loader.fingerprint_inputs(None)
    assert str(folders) not in first + second  # ComfyUI writes them into pictures
    os.utime(paths[1], ns=(1, 1))
    assert loader.fingerprint_inputs("a.safetensors") == first  # another file is no reason
    assert loader.fingerprint_inputs(None) != second  # whose name comes over a link: it may be that one
    os.replace(paths[1], paths[0])
    assert loader.fingerprint_inputs("a.safetensors") != first


def test_the_users_folders_keep_their_order(monkeypatch, tmp_path):
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", dict(folder_paths.folder_names_and_paths))
    folder_paths.folder_names_and_paths.pop("ipadapter", None)
    mine = [str(tmp_path / "mine"), str(tmp_path / "other")]
    for path in mine:  # as extra_model_paths.yaml does, before packs are imported
        folder_paths.add_model_folder_path("ipadapter", path)
    register_folders()
    register_folders()
    paths, extensions = folder_paths.folder_names_and_paths["ipadapter"]
    assert paths == [*mine, os.path.join(folder_paths.models_dir, "ipadapter")]
    assert extensions == folder_paths.supported_pt_extensions


def test_layers_that_take_their_weights_late(monkeypatch):
    """ComfyUI's dynamic VRAM builds Linear layers without weights; NVIDIA cards have it by default."""
    model = tiny.unet("SD1.5")
    monkeypatch.setattr(comfy.memory_management, "aimdo_enabled", True)
    monkeypatch.setattr(comfy.model_management, "WINDOWS", True)  # before 0.30 on Windows alone
    assert comfy.ops.manual_cast.Linear(3, 4).weight is None
    features = EncodeImagePrompt.execute(tiny.encoder(), torch.rand(1, 40, 60, 3)).args[0]
    for adapter in (tiny.adapter(model), tiny.plus_adapter(model)):
        patched = ApplyImagePrompt.execute(model, adapter, features, 1.0, 0.0, 1.0).args[0]
        assert tiny.sample(patched, "SD1.5").isfinite().all()
