"""What `pip install .` gives works where ComfyUI is not, and so do the lines of the README."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import tomllib
import torch
from PIL import ExifTags, Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from image_prompt import ip_adapter
from image_prompt.clip_vision import best_dtype
from image_prompt.demo import face_packs, full_clip
from image_prompt.demo.sheet import to_image
from image_prompt.demo.world import Scene, draw
from image_prompt.devtools import published
from image_prompt.devtools.release import trial
from image_prompt.devtools.stages import ROOT
from image_prompt.tensor_files.placement import find_device

METADATA = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = (
    "tensor_files",
    "clip_vision",
    "faces",
    "ip_adapter",
    "migration",
    "model_files",
    "service",
    "references",
    "command_line",
)

WORLD = ROOT / "demo" / "models"
ENCODER = WORLD / "clip_vision" / "demo_world.safetensors"
BASE, PLUS = (WORLD / "ipadapter" / f"ip-adapter{kind}_demo_world.safetensors" for kind in ("", "-plus"))

# what is not there without ComfyUI
ABSENT = [
    *("comfy", "comfy_api", "comfy_extras", "diffusers", "folder_paths", "insightface", "nodes", "server", "timm"),
    *("faiss", "lancedb", "open_clip", "pyarrow", "transformers"),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy to build in: building leaves files behind."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "__init__.py", "__main__.py", "dev.py"):
        shutil.copy(ROOT / name, folder)
    for name in (*PACKAGES, "standalone", "nodes", "demo"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> Path:
    """The wheel that pip builds."""
    folder = tmp_path_factory.mktemp("wheel")
    command = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source]
    done = subprocess.run([sys.executable, "-m", "pip", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("image_prompt-*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel) -> Path:
    """The content of the wheel."""
    folder = wheel.with_name("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_holds_the_packages_the_catalogue_and_the_command_line_and_nothing_else(installed):
    def files(root: Path, *folders: str) -> set[str]:
        found = (path for folder in folders for path in (root / folder).rglob("*") if path.suffix in (".py", ".json"))
        return {path.relative_to(root).as_posix() for path in found}

    shipped = {name.removeprefix("image_prompt/") for name in files(installed, ".")}
    assert shipped == files(ROOT, *PACKAGES) | {"__main__.py"}
    assert "model_files/catalogue/catalogue.json" in shipped
    merges = ("merges.txt.gz", "merges.LICENSE.txt")  # of CLIP's tokenizer, with its licence
    assert all((installed / "image_prompt" / "clip_vision" / "text" / name).is_file() for name in merges)
    assert all((installed / "image_prompt" / name / "py.typed").is_file() for name in PACKAGES)  # for type checkers
    command = (installed / "image_prompt" / "__main__.py").read_text()
    assert command == (ROOT / "standalone" / "__main__.py").read_text()  # the root's would look for the root


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """A folder that keeps ABSENT from every Python which finds it: Python imports sitecustomize.py when it starts."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({ABSENT}))\n")
    return folder


@pytest.fixture
def python(bare, installed, tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python, in tmp_path by default, where it finds the content of the wheel and nothing of ABSENT."""

    def run(
        *arguments: object, code: int = 0, folder: Path = tmp_path, more: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(str(each) for each in (bare, installed, more) if each)
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=folder,
            env={**os.environ, **environment, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def test_every_module_of_the_wheel_imports_without_comfyui_and_transformers(python, installed):
    files = [path.relative_to(installed).with_suffix("") for path in (installed / "image_prompt").rglob("*.py")]
    names = [".".join(file.parts).removesuffix(".__init__") for file in files]
    code = f"""
from importlib import import_module, util
for name in {names}: import_module(name)
print([name for name in {ABSENT} if util.find_spec(name)])
"""
    assert python("-c", code).stdout == "[]\n"


TESTS = [  # those of what programs import that need neither transformers, diffusers nor ComfyUI
    "clip_vision/test_features.py",
    "clip_vision/test_load.py",
    "ip_adapter/test_containers.py",
    "ip_adapter/test_load.py",
    "ip_adapter/test_refusals.py",
    "model_files/environment",
    "model_files/pictures/test_made_with.py",
    "model_files/test_find.py",
    "service/embedding/test_embedding_service.py",
    "service/http/test_handlers.py",
    "service/test_feature_cache.py",
    "service/test_memory.py",
    "service/test_service.py",
    "tensor_files/test_placement.py",
    "tensor_files/test_weights.py",
]


def test_the_tests_of_the_packages_pass_on_the_wheel(python, tmp_path):
    (tmp_path / "image_prompt").mkdir()  # what makes the files for the tests is no part of the wheel
    (tmp_path / "image_prompt" / "devtools").symlink_to(ROOT / "devtools", target_is_directory=True)
    options = ["-q", "-p", "no:cacheprovider", "--basetemp", tmp_path / "files"]
    tests = [ROOT / "tests" / name for name in TESTS]
    python("-m", "pytest", *options, *tests, more=tmp_path, IMAGE_PROMPT_INSTALLED="1")


@pytest.fixture
def comfyui(tmp_path) -> Path:
    """The folder of a ComfyUI, as far as files are looked for, with the encoder and the adapters of the demo world."""
    root = tmp_path / "ComfyUI"
    for folder in ("user", "models/loras"):
        (root / folder).mkdir(parents=True)
    for file in ("main.py", "folder_paths.py"):
        (root / file).touch()
    for path in (ENCODER, BASE, PLUS):
        (root / "models" / path.parent.name).mkdir(exist_ok=True)
        shutil.copy(path, root / "models" / path.parent.name)
    return root


def test_every_command_of_the_wheel_answers(python, comfyui, tmp_path):
    def tell(*words: object):
        return json.loads(python("-m", "image_prompt", *words, "--json", "--comfyui", comfyui).stdout)

    (comfyui / "models/ipadapter/ip-adapter_sd15.safetensors").write_bytes(b"\x80\0\0\0\0\0\0\0{")
    torch.save(load_file(ENCODER), tmp_path / "encoder.bin")
    used = {"node": "4", "kind": "adapter", "folder": "ipadapter", "name": PLUS.name, "size": PLUS.stat().st_size}
    text = PngInfo()
    text.add_text("image_prompt", json.dumps({"version": "1.0.0", "files": [used]}))
    Image.new("RGB", (4, 4)).save(tmp_path / "picture.png", pnginfo=text)
    encoder, plus = comfyui / "models/clip_vision" / ENCODER.name, comfyui / "models/ipadapter" / PLUS.name

    status = tell("status")
    assert status["versions"]["image-prompt"] == METADATA["project"]["version"]
    assert [status["folders"][name]["files"] for name in ("clip_vision", "ipadapter")] == [1, 3]
    assert tell("paths")["counts"]["unusable"] == 1
    assert "ip-adapter_sd15" in {entry["id"] for entry in tell("catalogue")}
    told = [(each["container"], each["identity"]["kind"]) for each in tell("identify", encoder, plus, "encoder.bin")]
    assert told == [("safetensors", "encoder"), ("safetensors", "adapter"), ("torch archive", "encoder")]
    graph = {
        "1": {"class_type": "IPAdapterModelLoader", "inputs": {"ipadapter_file": PLUS.name}},
        "2": {"class_type": "IPAdapterTiled", "inputs": {"ipadapter": ["1", 0]}},
    }
    (tmp_path / "graph.json").write_text(json.dumps(graph))
    said = python("-m", "image_prompt", "migrate", "graph.json", "--json", code=1).stdout
    assert [each["id"] for each in json.loads(said)["stays"]] == ["1", "2"]
    (picture,) = tell("identify", "picture.png")
    assert picture["made_with"]["files"] == [{**used, "here": "yes", "path": str(plus)}]
    wish = ("get", "ip-adapter_sdxl", "--offline", "--comfyui", comfyui)
    said = python("-m", "image_prompt", *wish, code=1).stderr
    assert f"put it here: {plus.with_name('ip-adapter_sdxl.safetensors')}\n" in said


def test_a_release_tries_the_wheel_where_there_is_no_comfyui(wheel):
    trial.try_wheel(Path(sys.executable), wheel, METADATA["project"]["version"])


README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

# runs each block of lines after the others, as if they stood in one file, and keeps what they made
RUN = """
import runpy, sys, torch
lines, kept = {}, []
for block in sys.argv[1:]:
    lines = runpy.run_path(block, lines)
    kept.append((lines["features"].penultimate, lines["tokens"], lines["layers"]))
torch.save(kept, "kept.pt")
"""


def by_transformers(photo: Path) -> Tensor:
    """The penultimate hidden states of the demo world's encoder, for a photo on a black square, upright."""
    with safe_open(ENCODER, "pt") as file:
        config = json.loads(file.metadata()["vision_config"])
    weights, side = load_file(ENCODER), config["image_size"]
    mlp, width = weights["vision_model.encoder.layers.0.mlp.fc1.weight"].shape
    model = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=mlp,
            num_hidden_layers=sum(key.endswith("mlp.fc1.weight") for key in weights),
            num_attention_heads=config["heads"],
            hidden_act=config["activation"],
            image_size=side,
            patch_size=weights["vision_model.embeddings.patch_embedding.weight"].shape[-1],
            projection_dim=len(weights["visual_projection.weight"]),
        )
    )
    model.load_state_dict(weights)
    with Image.open(photo) as stored:
        image = ImageOps.exif_transpose(stored)
    size = [round(side * length / max(image.size)) for length in image.size]
    square = Image.new("RGB", (side, side))
    square.paste(image.resize(size, Image.Resampling.BICUBIC), [(side - length) // 2 for length in size])
    pixels = torch.tensor(list(square.tobytes())).view(1, side, side, 3).movedim(-1, 1) / 255
    mean, std = (torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std"))
    return model.eval()((pixels - mean) / std, output_hidden_states=True).hidden_states[-2]


def close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    """Whether two tensors are equal: their largest difference is small relative to the largest value."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


@torch.no_grad()
def test_the_python_lines_of_the_readme_run_as_they_are(python, comfyui):
    """With the demo world's files, under the names that the lines use, in the folder of a ComfyUI."""
    shutil.copy(ENCODER, comfyui / "clip_vision_h.safetensors")
    shutil.copy(PLUS, comfyui / "ip-adapter-plus_sd15.safetensors")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # the camera was turned by a quarter
    with Image.open(ROOT / "demo" / "images" / "astronaut.jpg") as image:
        image.crop((0, 0, 400, 300)).save(comfyui / "photo.jpg", exif=exif)
    blocks = [f"{number}.py" for number in range(3)]
    for name, block in zip(blocks, BLOCKS):
        (comfyui / name).write_text(block)
    said = python("-c", RUN, *blocks, folder=comfyui).stdout
    assert said.splitlines() == [f"{comfyui} {PLUS.name} {ENCODER.name}", "All files are here.", "{'count': 1}"]

    expected, adapter = by_transformers(comfyui / "photo.jpg"), ip_adapter.load(PLUS, "cpu")
    tolerance = 1e-5 if best_dtype(find_device("auto")) == torch.float32 else 0.02
    of_one, _, of_two = torch.load(comfyui / "kept.pt", map_location="cpu")
    for count, (features, tokens, layers) in {1: of_one, 2: of_two}.items():
        assert (tokens.shape, len(layers)) == ((1, 16, 768), 16)  # as the first lines say
        close(features, expected.expand(count, -1, -1), tolerance)
        for ours, theirs in zip(layers, adapter.key_value(adapter.tokens(features)), strict=True):
            close(torch.stack(ours), torch.stack(theirs), 1e-5)


# runs the block for faces, and keeps what it made
RUN_FACES = """
import runpy, sys, torch
lines = runpy.run_path(sys.argv[1])
torch.save([lines["identity"], lines["look"], lines["tokens"]], "kept.pt")
"""


@torch.no_grad()
def test_the_python_lines_about_faces_run_as_they_are(python, comfyui):
    shutil.copy(ENCODER, comfyui / "clip_vision_h.safetensors")
    face_packs.write_pack(comfyui / "models" / "insightface" / "models")
    Image.fromarray(face_packs.picture((300, 320, face_packs.GREEN))).save(comfyui / "face.jpg")
    width = load_file(ENCODER)["vision_model.embeddings.class_embedding"].numel()
    projection = published.identity_perceiver(768, width, depth=1, hidden=32, times=1)
    file = comfyui / "ip-adapter-faceid-plusv2_sd15.bin"
    torch.save(published.nested(published.fill(published.adapter(projection, [32] * 16, 768), 0)), file)
    (_, _, _, block, _) = BLOCKS
    (comfyui / "faces.py").write_text(block)
    python("-c", RUN_FACES, "faces.py", folder=comfyui)
    identity, look, tokens = torch.load(comfyui / "kept.pt", map_location="cpu")
    assert tokens.shape == (1, 4, 768)  # as the last line says
    assert identity.norm() == pytest.approx(1.0, abs=1e-5)
    features = {"face_embeds": identity, "face_penultimate": look}
    close(tokens, ip_adapter.load(file, "cpu").tokens(features), 1e-5)


def test_the_python_lines_about_similarity_run_as_they_are(python, comfyui):
    """In the demo world, which knows two of their words. The second run finds nothing new in the folder."""
    full_clip.write_full_clip(comfyui)
    (comfyui / full_clip.FILE).rename(comfyui / "clip-vit-large-patch14.safetensors")
    (comfyui / "photos").mkdir()
    scenes = [Scene("ring", colour, "plain", "white", "middle", "large") for colour in ("green", "red")]
    for scene, drawn in zip(scenes, draw([(scene,) for scene in scenes]), strict=True):
        to_image(drawn).save(comfyui / "photos" / f"{scene.colour}.png")
    shutil.copy(ROOT / "demo" / "images" / "astronaut.jpg", comfyui / "photo.jpg")
    (comfyui / "similarity.py").write_text(BLOCKS[-1] + "print(len(library.pictures([1, 2])), tuple(similarity.shape))")
    said = "['red.png', 'green.png']\ntorch.Size([2, 1]) tensor([1.])\n2 (2, 1)\n"
    for _ in range(2):
        assert python("similarity.py", folder=comfyui).stdout == said


def test_the_root_imports_without_comfyui(python):
    code = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("pack", r"{ROOT / "__init__.py"}")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module.WEB_DIRECTORY, callable(module.comfy_entrypoint), hasattr(module, "NODE_CLASS_MAPPINGS"))
"""
    assert python("-c", code).stdout == "./js True False\n"
