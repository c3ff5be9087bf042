"""Share tiny models among the node tests; `tiny` itself, which is beside the tests, can be imported."""

import ctypes
import gc
import sys
from pathlib import Path

import folder_paths
import pytest
import torch

sys.path.append(str(Path(__file__).parent))

import tiny  # noqa: E402
from own_files import OWN, put_catalogue  # noqa: E402

from image_prompt.nodes.applying.apply import ApplyImagePrompt  # noqa: E402
from image_prompt.nodes.encoding.encode import EncodeImagePrompt  # noqa: E402
from image_prompt.nodes.folders import FEATURES_FOLDER, register_folders  # noqa: E402
from image_prompt.nodes.loading import model_library  # noqa: E402


@pytest.fixture(autouse=True)
def inference():
    """Run every test in inference mode, as ComfyUI runs nodes."""
    with torch.inference_mode():
        yield


@pytest.fixture(autouse=True)
def user_folder(tmp_path, monkeypatch):
    """A user folder of its own for every test, because an explanation saves there what it learnt about files."""
    (tmp_path / "user" / "__image_prompt").mkdir(parents=True)
    monkeypatch.setattr(folder_paths, "user_directory", str(tmp_path / "user"))


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    """A folder of its own for the pictures that nodes show."""
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path / "temporary"))


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Empty model folders for ComfyUI, and an input folder."""
    register_folders()
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path / "input"))
    names = (*model_library.TYPES, FEATURES_FOLDER)
    for name in names:
        if name in folder_paths.folder_names_and_paths:
            extensions = folder_paths.folder_names_and_paths[name][1]
            (tmp_path / "models" / name).mkdir(parents=True)
            known = ([str(tmp_path / "models" / name)], extensions)
            monkeypatch.setitem(folder_paths.folder_names_and_paths, name, known)
            monkeypatch.delitem(folder_paths.filename_list_cache, name, raising=False)
    yield tmp_path / "models"
    model_library.close_index()
    for name in names:
        folder_paths.filename_list_cache.pop(name, None)


@pytest.fixture
def catalogue(folders):
    put_catalogue(folders, OWN)


@pytest.fixture
def base() -> str:
    """The base model. Tests of blocks with several layers, or of sets of blocks, also parametrise it with "SDXL"."""
    return "SD1.5"


@pytest.fixture
def model(base):
    return tiny.unet(base)


@pytest.fixture
def adapter(model):
    return tiny.adapter(model)


@pytest.fixture(scope="session")
def encoder():
    return tiny.encoder()


@pytest.fixture
def core_encoder():
    return tiny.core_encoder(tiny.encoder_file())


@pytest.fixture(scope="session")
def pictures() -> torch.Tensor:
    return torch.rand(2, 40, 60, 3, generator=torch.Generator().manual_seed(11))


@pytest.fixture
def features(encoder, pictures):
    return EncodeImagePrompt.execute(encoder, pictures[:1]).args[0]


@pytest.fixture
def two_references(encoder, pictures):
    return EncodeImagePrompt.execute(encoder, pictures).args[0]


@pytest.fixture
def apply():
    """Run Apply IP-Adapter with its defaults."""

    def call(model, adapter, features, weight=1.0, start=0.0, end=1.0, **options):
        return ApplyImagePrompt.execute(model, adapter, features, weight, start, end, **options).args[0]

    return call


@pytest.fixture(scope="module", autouse=True)
def forget_what_modules_keep():
    """Whole models and files that the tests of a module share would otherwise stay to the end: gigabytes in all."""
    yield
    folder = str(Path(__file__).parent)  # tests share with each other
    tests = [module for module in [*sys.modules.values()] if str(getattr(module, "__file__", "")).startswith(folder)]
    for value in [value for module in tests for value in vars(module).values()]:
        if callable(getattr(value, "cache_clear", None)):
            value.cache_clear()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # the allocator keeps what is free between what is not
