"""Which folders are loaded, what is refused of them, and where they are loaded to."""

import json
import os
import pickle
import shutil
import sys
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
import tiny_qwen3_vl
import torch

from image_prompt.references.embedder import Embedder
from image_prompt.references.embedders import open_embedder
from image_prompt.references.inputs import Input
from image_prompt.references.vision_language import is_vision_language, load_vision_language
from image_prompt.references.vision_language.transformers_backend import TransformersBackend

TEXTS = ["a red bicycle", "rain"]


@pytest.fixture
def copy(folder, tmp_path):
    """The folder again, whose files are replaced without a change of the shared ones."""
    for file in folder.iterdir():
        os.link(file, tmp_path / file.name)
    return tmp_path


def put(path, data):
    """A new file instead of one that is linked."""
    path.unlink(missing_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())


def config(**changes):
    return lambda folder: put(folder / "config.json", {**tiny_qwen3_vl.CONFIG, **changes})


def without(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def index(weight_map):
    def change(folder):
        (folder / "model.safetensors").unlink()
        put(folder / "model.safetensors.index.json", {"weight_map": weight_map})

    return change


def only_pickles(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


def disguised(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"a": torch.ones(1)}, folder / "model.safetensors")


def another_tokenizer(folder):
    put(folder / "vocab.json", {"a": 0})
    put(folder / "merges.txt", b"")
    put(folder / "tokenizer_config.json", {})


def tensors(change):
    def rewrite(folder):
        found = tiny_qwen3_vl.weights()
        change(found)
        (folder / "model.safetensors").unlink()
        tiny_qwen3_vl.write_weights(folder, found)

    return rewrite


NORM = "model.language_model.norm.weight"
BAD = {
    "no config": (without("config.json"), "There is no config.json in "),
    "no JSON": (lambda folder: put(folder / "config.json", b"{"), "config.json in .* cannot be read: Expecting"),
    "deep JSON": (lambda folder: put(folder / "config.json", b"[" * 99_999), "config.json in .* cannot be read"),
    "a list": (lambda folder: put(folder / "config.json", []), "config.json in .* it is no JSON object"),
    "another model": (config(model_type="qwen3_vl_moe"), "holds a model of type 'qwen3_vl_moe'. Of vision-language"),
    "no sizes": (config(text_config={}), "config.json in .* does not describe a Qwen3-VL as published"),
    "other patches": (config(vision_config={"patch_size": 14}), "does not describe a Qwen3-VL"),
    "quantized": (config(quantization_config={"quant_method": "fp8"}), "are quantized, and are not read"),
    "no tokenizer": (without("vocab.json"), "There is no tokenizer.json in "),
    "no weights": (without("model.safetensors"), "there are none. Get the whole folder"),
    "only pickles": (only_pickles, r"only torch files \(.bin\), which may hold code and are not loaded"),
    "no index": (index(None), "model.safetensors.index.json in .* cannot be read"),
    "no part": (index({}), "model.safetensors.index.json in .* names no weights"),
    "a part missing": (index({"a": "model-1.safetensors"}), "model-1.safetensors is missing"),
    "a part elsewhere": (index({"a": "../model.safetensors"}), "names a file outside of .*'../model.safetensors'"),
    "cut weights": (lambda folder: put(folder / "model.safetensors", b"\x09"), "^model.safetensors.* "),
    "a pickle in disguise": (
        disguised,
        "model.safetensors in .* is not a safetensors file",
    ),
    "a tensor missing": (tensors(lambda found: found.pop(NORM)), f"1 are missing, such as language_{NORM[15:]}"),
    "a tensor too many": (
        tensors(lambda found: found.update(extra=torch.ones(1))),
        "1 belong to another model.* extra",
    ),
    "another shape": (tensors(lambda found: found.update({NORM: torch.ones(3)})), "1 have another shape, such as"),
    "another tokenizer": (
        another_tokenizer,
        "The tokenizer in .* is not that of Qwen3-VL",
    ),
}


@pytest.mark.parametrize("change, problem", BAD.values(), ids=BAD)
def test_a_folder_that_cannot_be_loaded_is_refused(copy, change, problem):
    change(copy)
    with pytest.raises(ValueError, match=problem) as raised:
        load_vision_language(copy, "cpu", "fp32")
    assert str(copy) not in str(raised.value)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(ValueError, match="There is no folder "):
        load_vision_language(tmp_path / "absent")
    assert not is_vision_language(tmp_path / "absent") and not is_vision_language("")


@pytest.mark.parametrize("word, problem", [("gpu", "There is no device 'gpu'"), ("meta", 'On the device "meta"')])
def test_a_device_or_a_dtype_that_is_none(folder, word, problem):
    with pytest.raises(ValueError, match=problem):
        load_vision_language(folder, word)
    with pytest.raises(ValueError, match="The dtype is 'int8'"):
        load_vision_language(folder, "cpu", "int8")


@pytest.mark.parametrize("options", [{"files": 3}, {"lm_head": True}, {"dtype": torch.float16}], ids=str)
def test_the_same_weights_in_other_files_are_the_same_model(encoder, tmp_path, options):
    again = load_vision_language(tiny_qwen3_vl.write(tmp_path, **options), "cpu", "fp32")
    assert again.space == encoder.space
    torch.testing.assert_close(again.embed_texts(TEXTS).vectors, encoder.embed_texts(TEXTS).vectors, rtol=0, atol=1e-3)


@pytest.mark.parametrize("word, dtype", [("bf16", "bfloat16"), ("fp16", "float16"), (None, "bfloat16")], ids=str)
def test_it_computes_in_the_dtype_that_is_asked_for(encoder, folder, word, dtype):
    other = load_vision_language(folder, "cpu", word)
    assert other.info()["dtype"] == dtype and encoder.info()["dtype"] == "float32"
    assert other.info()["bytes"] * 2 == encoder.info()["bytes"] and other.space == encoder.space
    assert (other.embed_texts(TEXTS).vectors * encoder.embed_texts(TEXTS).vectors).sum(dim=1).min() > 0.98


def test_other_weights_are_another_space(encoder, tmp_path):
    other = load_vision_language(tiny_qwen3_vl.write(tmp_path, seed=1), "cpu", "fp32")
    assert not other.space.is_same(encoder.space) and other.space.encoder == encoder.space.encoder


def test_what_is_closed_loads_anew(folder):
    encoder = load_vision_language(folder, "cpu", "fp32")
    before = encoder.embed_texts(TEXTS)
    encoder.close()
    assert encoder.info()["device"] is None and encoder.info()["bytes"] == 0 and encoder.backend._loaded is None
    torch.testing.assert_close(encoder.embed_texts(TEXTS).vectors, before.vectors)


def test_texts_are_read_by_many_threads_at_once(encoder):
    texts = [f"{number} red bicycles" for number in range(200)]
    one_by_one = [encoder.read(Input(text)).ids for text in texts]
    with ThreadPoolExecutor(8) as threads:
        assert [read.ids for read in threads.map(encoder.read, map(Input, texts))] == one_by_one


class Full:
    """A model on a GPU without memory."""

    device = torch.device("cuda:0")

    def __init__(self, model):
        self.model = model

    def get_rope_index(self, mm_token_type_ids): ...

    def to(self, device):
        assert device == "cpu"
        return self.model


def _no_gpu(moved, tensor, *to, **more):
    if to and to[0] == Full.device:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")
    return moved(tensor, *to, **more)


def test_without_memory_it_moves_to_the_cpu_where_it_may(folder, encoder, monkeypatch):
    backend = TransformersBackend(folder, "auto", "fp32")
    ids = encoder.read(Input(TEXTS[0])).ids
    model = backend._model.to("cpu")
    backend._loaded = full = Full(model)
    moved = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda given, *to, **more: _no_gpu(moved, given, *to, **more))
    torch.testing.assert_close(backend.states(ids, ()), encoder.backend.states(ids, ()))
    assert backend._loaded is model
    backend._loaded, backend._asked = full, "cuda"
    with pytest.raises(ValueError, match=f'^cuda:0 has no memory left for an input of {len(ids)} tokens: .*"cpu"'):
        backend.states(ids, ())


def test_other_errors_are_not_for_want_of_memory(encoder):
    with pytest.raises(IndexError):
        encoder.backend.states([999_999], ())


def test_a_model_that_does_not_fit_a_gpu_is_on_the_cpu(folder, monkeypatch):
    from image_prompt.references.vision_language import transformers_backend

    asked = []
    monkeypatch.setattr(transformers_backend, "roomy", lambda device, size: asked.append((device, size)) or "cpu")
    backend = TransformersBackend(folder, "auto", "fp32")
    assert backend.info()["device"] == "cpu" and asked == [("auto", backend.info()["bytes"])]


def test_transformers_that_is_missing_or_too_old(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        ValueError, match="needs transformers, which is not installed: `python -m pip install transformers`"
    ):
        load_vision_language(folder)
    old = types.ModuleType("transformers")
    old.__version__ = "4.40.0"
    monkeypatch.setitem(sys.modules, "transformers", old)
    with pytest.raises(ValueError, match='4.57 or later, and 4.40.0 is installed: .*install "transformers>=4.57"'):
        load_vision_language(folder)


def test_loading_says_nothing(folder, capfd, recwarn):
    load_vision_language(folder, "cpu", "fp32").embed_texts("red")
    import transformers

    assert capfd.readouterr() == ("", "") and not recwarn.list
    assert transformers.utils.logging.is_progress_bar_enabled()


# ---------------------------------------------------------------------------------------------------------- embedders


def test_a_folder_or_a_file_is_opened_as_what_it_is(folder, tmp_path, encoder):
    with open_embedder(folder, "cpu", "fp32") as opened:
        assert opened.space == encoder.space
    (tmp_path / "clip.safetensors").write_bytes(b"")
    assert isinstance(open_embedder(tmp_path / "clip.safetensors"), Embedder)  # which loads it later


def alone(folder):
    shutil.copy(folder / "model.safetensors", folder.parent / "qwen3vl.safetensors")
    return folder.parent / "qwen3vl.safetensors"


def of_clip(folder):
    put(folder / "config.json", {"model_type": "clip"})
    return folder


OTHER = {
    "nothing": (lambda folder: folder / "absent", "There is no encoder .*absent"),
    "a folder": (lambda folder: (folder / "config.json").unlink() or folder, "a folder without the config.json"),
    "a CLIP's folder": (of_clip, "holds a model of type 'clip'.*give the path of its file, model.safetensors"),
    "a file of the folder": (lambda folder: folder / "model.safetensors", "a part of the vision-language model in"),
    "its weights alone": (alone, "holds the weights of a Qwen3-VL without its config.json and tokenizer"),
    "another folder": (lambda folder: config(model_type="llava")(folder) or folder, "'llava'"),
}


@pytest.mark.parametrize("change, problem", OTHER.values(), ids=OTHER)
def test_what_is_no_encoder_is_said(folder, tmp_path, change, problem):
    inside = tmp_path / "model"
    inside.mkdir()
    for file in folder.iterdir():
        os.link(file, inside / file.name)
    with pytest.raises(ValueError, match=problem):
        open_embedder(change(inside))
