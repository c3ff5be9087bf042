"""Models by the paths of files and folders, and which of them are loaded."""

import os

import pytest
import text_witness
import torch
from safetensors.torch import save_file
from tiny_qwen3_vl import shared

from image_prompt.references.embedders import open_embedder
from image_prompt.references.inputs import Input
from image_prompt.service.embedding import ClipModel, EmbeddingService, FileModels, Wish


@pytest.fixture(scope="module")
def qwen3_vl(tmp_path_factory):
    return shared(tmp_path_factory)


def write_clip(path, seed=0):
    torch.manual_seed(seed)
    model = text_witness.clip(64, 2)
    images = {key: tensor for key, tensor in model.state_dict().items() if key.startswith("vis")}
    save_file(images, path, metadata=text_witness.description(model))


def test_names_are_the_last_parts_of_paths_or_given(tmp_path):
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.safetensors").touch()
    first, second, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors", tmp_path / "more" / "a.safetensors"
    assert FileModels([first, str(second)]).names() == ["a.safetensors", "b.safetensors"]
    assert FileModels({"one": first, "two": other}).names() == ["one", "two"]
    for wrong, sentence in (
        ([first, other], "Two encoders are called 'a.safetensors'"),
        ([tmp_path / "c"], "There is no encoder '.*c': give a file of a CLIP, or a folder of a Qwen3-VL"),
        ([], "No encoder was given"),
    ):
        with pytest.raises(ValueError, match=sentence):
            FileModels(wrong)


def test_a_file_that_is_replaced_is_loaded_anew_and_one_that_is_taken_away_stays(tmp_path):
    file, picture = tmp_path / "clip.safetensors", Input(image=torch.rand(32, 32, 3))
    write_clip(file)
    with EmbeddingService(FileModels([file], "cpu")) as service:
        before = service.embed(file.name, [picture]).embedding
        os.rename(file, tmp_path / "elsewhere")
        assert torch.equal(service.embed(file.name, [picture]).embedding.vectors, before.vectors)
        write_clip(file, seed=1)
        after = service.embed(file.name, [picture]).embedding
        assert service.info()["activity"]["load"]["count"] == 2
        service.unload()
        os.remove(file)
        with pytest.raises(ValueError, match="There is no encoder"):
            service.embed(file.name, [picture])
    assert not before.space.is_same(after.space)
    assert not torch.allclose(before.vectors, after.vectors, atol=0.1)


def test_what_is_no_encoder_says_so(tmp_path, qwen3_vl):
    (tmp_path / "notes.safetensors").write_bytes(b"notes")
    (tmp_path / "empty").mkdir()
    wrong = {"notes": tmp_path / "notes.safetensors", "empty": tmp_path / "empty", "part": next(qwen3_vl.glob("*.s*"))}
    with EmbeddingService(FileModels(wrong)) as service:
        for name, sentence in (
            ("notes", r"notes\.safetensors"),
            ("empty", "without the config.json of a model"),
            ("part", "is a part of the vision-language model"),
        ):
            with pytest.raises(ValueError, match=sentence):
                service.embed(name, [Input("red")])


def test_a_folder_of_qwen3_vl_embeds_texts_pictures_and_both_as_its_encoder_does(qwen3_vl):
    given = [Input("a red bicycle"), Input(image=torch.rand(70, 90, 3)), Input("its wheel", torch.rand(64, 64, 3))]
    with open_embedder(qwen3_vl, "cpu", "fp32") as encoder:
        expected = encoder.embed(given, instruction="Find the picture.")
        tokens = sum(encoder.read(each, "Find the picture.").tokens for each in given)
        mean = torch.stack([encoder.vector(encoder.read(each), "mean") for each in given])
        other = encoder.space_of("mean", 64)
    with EmbeddingService(FileModels({"qwen": qwen3_vl}, "cpu", "fp32")) as service:
        found = service.embed("qwen", given, Wish(instruction="Find the picture."))
        assert found.embedding.space == expected.space == service.space_of("qwen")
        assert (found.embedding.of, found.tokens) == ("image", tokens)
        torch.testing.assert_close(found.embedding.vectors, expected.vectors)
        short = service.embed("qwen", given, Wish(dimensions=64, pooling="mean")).embedding
        assert short.space == service.space_of("qwen", Wish(dimensions=64, pooling="mean")) == other
        torch.testing.assert_close(short.vectors, torch.nn.functional.normalize(mean[:, :64], dim=1))
        with pytest.raises(ValueError, match="gives 64 to 80 numbers of a vector, not 4096"):
            service.embed("qwen", given, Wish(dimensions=4096))
        with pytest.raises(ValueError, match="pooling"):
            service.embed("qwen", given, Wish(pooling="first"))
        compared = service.compare("qwen", given[:1], given[1:])
        assert compared.cosines.shape == (1, 2) and compared.probabilities is None
        assert str(qwen3_vl.parent) not in str(service.info())
        assert set(service.info()["batch_sizes"]) == {"1"}


def test_a_clip_is_closed_and_gone_when_its_service_is(tmp_path, monkeypatch):
    write_clip(tmp_path / "clip.safetensors")
    closed = []
    monkeypatch.setattr(ClipModel, "close", lambda model: closed.append(model))
    with EmbeddingService(FileModels([tmp_path / "clip.safetensors"], "cpu")) as service:
        service.space_of("clip.safetensors")
        assert not closed
    assert len(closed) == 1
