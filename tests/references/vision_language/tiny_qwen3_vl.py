"""Write a tiny Qwen3-VL with random weights, as a folder like those that are published. No transformers, no download.

Another folder of tests uses it so, in its conftest.py:

    sys.path.append(str(Path(__file__).parents[N] / "references" / "vision_language"))
    from tiny_qwen3_vl import shared

    @pytest.fixture(scope="session")
    def qwen3_vl(tmp_path_factory) -> Path:
        return shared(tmp_path_factory)
"""

from __future__ import annotations

import json
import os
import shutil
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

_SHARED: list[Path] = []  # the folder of `shared`, once it is written
COMFYUI = Path(os.environ.get("COMFYUI_PATH") or Path(__file__).resolve().parents[3] / ".dev" / "comfyui")
VOCABULARY, WIDTH, LAYERS, HEADS, KEY_HEADS, HEAD, HIDDEN = 151_936, 80, 4, 4, 2, 128, 96  # 12 M, 24 MB in bf16
VISION_WIDTH, VISION_DEPTH, VISION_HEADS, VISION_HIDDEN, POSITIONS, PATCH, MERGE = 64, 3, 4, 96, 2304, 16, 2
IMAGE_PAD, VIDEO_PAD, VISION_START, VISION_END = 151_655, 151_656, 151_652, 151_653
CONFIG: dict[str, Any] = {  # as transformers 4.57 wrote the published ones
    "architectures": ["Qwen3VLForConditionalGeneration"],
    "model_type": "qwen3_vl",
    "image_token_id": IMAGE_PAD,
    "video_token_id": VIDEO_PAD,
    "vision_start_token_id": VISION_START,
    "vision_end_token_id": VISION_END,
    "tie_word_embeddings": True,
    "text_config": {
        "model_type": "qwen3_vl_text",
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS,
        "head_dim": HEAD,
        "hidden_act": "silu",
        "max_position_embeddings": 262_144,
        "rms_norm_eps": 1e-6,
        "rope_theta": 5_000_000,
        "rope_scaling": {"mrope_interleaved": True, "mrope_section": [24, 20, 20], "rope_type": "default"},
        "attention_bias": False,
        "tie_word_embeddings": True,
    },
    "vision_config": {
        "model_type": "qwen3_vl",
        "depth": VISION_DEPTH,
        "hidden_size": VISION_WIDTH,
        "hidden_act": "gelu_pytorch_tanh",
        "intermediate_size": VISION_HIDDEN,
        "num_heads": VISION_HEADS,
        "in_channels": 3,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "out_hidden_size": WIDTH,
        "num_position_embeddings": POSITIONS,
        "deepstack_visual_indexes": list(range(VISION_DEPTH)),
    },
}
PREPROCESSOR = {
    "image_processor_type": "Qwen2VLImageProcessorFast",
    "processor_class": "Qwen3VLProcessor",
    "size": {"longest_edge": 16_777_216, "shortest_edge": 65_536},
    "patch_size": PATCH,
    "temporal_patch_size": 2,
    "merge_size": MERGE,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
TEMPLATE = (  # what Qwen3-VL's does with messages that are lists of texts and pictures
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- for part in message.content %}"
    "{%- if part.type == 'image' %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- else %}{{- part.text }}{%- endif %}"
    "{%- endfor %}{{- '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)


def shapes() -> dict[str, tuple[int, ...]]:
    """The keys of the published files, and what shapes they have here; without lm_head, which has the same numbers."""
    found: dict[str, tuple[int, ...]] = {"model.language_model.embed_tokens.weight": (VOCABULARY, WIDTH)}
    for number in range(LAYERS):
        layer = f"model.language_model.layers.{number}"
        found |= {
            f"{layer}.input_layernorm.weight": (WIDTH,),
            f"{layer}.post_attention_layernorm.weight": (WIDTH,),
            f"{layer}.self_attn.q_proj.weight": (HEADS * HEAD, WIDTH),
            f"{layer}.self_attn.k_proj.weight": (KEY_HEADS * HEAD, WIDTH),
            f"{layer}.self_attn.v_proj.weight": (KEY_HEADS * HEAD, WIDTH),
            f"{layer}.self_attn.o_proj.weight": (WIDTH, HEADS * HEAD),
            f"{layer}.self_attn.q_norm.weight": (HEAD,),
            f"{layer}.self_attn.k_norm.weight": (HEAD,),
            f"{layer}.mlp.gate_proj.weight": (HIDDEN, WIDTH),
            f"{layer}.mlp.up_proj.weight": (HIDDEN, WIDTH),
            f"{layer}.mlp.down_proj.weight": (WIDTH, HIDDEN),
        }
    found["model.language_model.norm.weight"] = (WIDTH,)
    found |= linear("model.visual.patch_embed.proj", VISION_WIDTH, 3, 2, PATCH, PATCH)
    found["model.visual.pos_embed.weight"] = (POSITIONS, VISION_WIDTH)
    for number in range(VISION_DEPTH):
        block = f"model.visual.blocks.{number}"
        found |= {**linear(f"{block}.norm1", VISION_WIDTH), **linear(f"{block}.norm2", VISION_WIDTH)}
        found |= linear(f"{block}.attn.qkv", 3 * VISION_WIDTH, VISION_WIDTH)
        found |= linear(f"{block}.attn.proj", VISION_WIDTH, VISION_WIDTH)
        found |= linear(f"{block}.mlp.linear_fc1", VISION_HIDDEN, VISION_WIDTH)
        found |= linear(f"{block}.mlp.linear_fc2", VISION_WIDTH, VISION_HIDDEN)
    merged = VISION_WIDTH * MERGE**2
    mergers = [f"model.visual.deepstack_merger_list.{number}" for number in range(VISION_DEPTH)]
    for merger, norm in (("model.visual.merger", VISION_WIDTH), *((merger, merged) for merger in mergers)):
        found |= linear(f"{merger}.norm", norm)
        found |= linear(f"{merger}.linear_fc1", merged, merged)
        found |= linear(f"{merger}.linear_fc2", WIDTH, merged)
    return found


def linear(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def weights(seed: int = 0, dtype: torch.dtype = torch.bfloat16, lm_head: bool = False) -> dict[str, Tensor]:
    """Random ones, large enough that another text or picture makes another vector."""
    generator = torch.Generator().manual_seed(seed)
    made = {key: _random(key, shape, generator).to(torch.bfloat16).to(dtype) for key, shape in shapes().items()}
    return made | ({"lm_head.weight": made["model.language_model.embed_tokens.weight"].clone()} if lm_head else {})


def _random(key: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    numbers = torch.randn(shape, generator=generator)
    if "norm" in key and key.endswith("weight"):
        return 1 + 0.3 * numbers
    if key.endswith("bias"):
        return 0.1 * numbers
    return numbers if "embed_tokens" in key or "pos_embed" in key else numbers * prod(shape[1:]) ** -0.5


def write(
    folder: Path, *, seed: int = 0, dtype: torch.dtype = torch.bfloat16, lm_head: bool = False, files: int = 1
) -> Path:
    """Write the folder; equal seeds have equal weights in every dtype that holds those of bf16. files: of weights."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", CONFIG)
    write_json(folder / "preprocessor_config.json", PREPROCESSOR)
    write_weights(folder, weights(seed, dtype, lm_head), files)
    write_tokenizer(folder)
    return folder


def write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")


def write_weights(folder: Path, tensors: dict[str, Tensor], files: int = 1) -> None:
    if files == 1:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return
    keys = sorted(tensors)
    names = [f"model-{number + 1:05}-of-{files:05}.safetensors" for number in range(files)]
    for number, name in enumerate(names):
        save_file({key: tensors[key] for key in keys[number::files]}, folder / name, {"format": "pt"})
    places = {key: names[number % files] for number, key in enumerate(keys)}
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})


def write_tokenizer(folder: Path) -> None:
    """Qwen's own, of ComfyUI."""
    source = COMFYUI / "comfy" / "text_encoders" / "qwen25_tokenizer"
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(source / name, folder / name)
    config = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    write_json(folder / "tokenizer_config.json", config | {"processor_class": "Qwen3VLProcessor"})
    write_json(folder / "chat_template.json", {"chat_template": TEMPLATE})


def shared(tmp_path_factory: Any) -> Path:
    """The folder that all tests of a process share. Nobody writes into it."""
    if not _SHARED:
        _SHARED.append(write(tmp_path_factory.mktemp("tiny") / "Qwen3-VL-Embedding-Tiny"))
    return _SHARED[0]
