"""Files of CLIP and SigLIP give the service the vectors of `Embedder` and of transformers, alone and in batches."""

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
import sentencepiece
import text_witness
import torch
from PIL import Image
from safetensors.torch import save_file

from image_prompt.clip_vision import VisionEncoder, encode_pixels, preprocess
from image_prompt.clip_vision.text.bpe import BytePairs
from image_prompt.references.embedder import Embedder
from image_prompt.references.inputs import Input
from image_prompt.service.embedding import ClipModel, EmbeddingService, FileModels, Wish, clip_model
from image_prompt.service.memory import CHUNKS

TEXTS = ["red", "a blue square on the grass", " A  Cat ", "word " * 90]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return text_witness.clip(64, 2)


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder") / "full.safetensors"
    save_file(model.state_dict(), path, metadata=text_witness.description(model))
    return path


@pytest.fixture(scope="module")
def pictures():
    numbers = torch.Generator().manual_seed(0)
    return [
        Image.fromarray(torch.randint(0, 256, (40 + 9 * n, 70, 3), generator=numbers).byte().numpy()) for n in range(5)
    ]


@pytest.fixture
def service(file):
    with EmbeddingService(FileModels({"clip": file}, "cpu", "fp32")) as made:
        yield made


def opened(picture):
    """As a client sends it: not decoded yet."""
    written = io.BytesIO()
    picture.save(written, "png")
    return Image.open(written)


def test_vectors_are_those_of_the_embedder(service, file, pictures):
    with Embedder(file, "cpu", "fp32") as embedder:
        images, texts = embedder.embed_images(pictures), embedder.embed_texts(TEXTS)
    found = service.embed("clip", [Input(image=opened(picture)) for picture in pictures])
    torch.testing.assert_close(found.embedding.vectors, images.vectors)
    assert found.embedding.space == images.space and found.tokens == 5 * 5 and not found.warnings
    mixed = service.embed("clip", [Input(image=pictures[0]), *map(Input, TEXTS)])
    torch.testing.assert_close(mixed.embedding.vectors, torch.cat([images.vectors[:1], texts.vectors]))
    assert mixed.of == ("image", *["text"] * 4) and mixed.embedding.logit == texts.logit
    assert mixed.warnings == ("Input 5: The text is longer than 77 tokens; the rest is not seen.",)
    pairs = BytePairs()
    assert mixed.tokens == 5 + sum(len(pairs(text)) + 2 for text in TEXTS[:3]) + 77


def test_similarities_are_those_of_transformers(service, model, pictures):
    texts = TEXTS[:3]
    found = service.compare("clip", [Input(text) for text in texts], [Input(image=picture) for picture in pictures])
    pairs = BytePairs()
    rows = [[49406, *pairs(text), *[49407] * 76][:77] for text in texts]
    size = model.config.vision_config.image_size
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    with torch.no_grad():
        theirs = model(input_ids=torch.tensor(rows), pixel_values=preprocess(pictures, size, mean, std))
    scale = model.logit_scale.exp().item()
    torch.testing.assert_close(found.cosines * scale, theirs.logits_per_text, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.probabilities.T, theirs.logits_per_image.softmax(dim=1))
    assert service.compare("clip", [Input("red")], [Input("blue"), Input(image=pictures[0])]).probabilities is None


def test_sixteen_clients_at_once_get_what_one_gets(service, file, pictures):
    with Embedder(file, "cpu", "fp32") as embedder:
        images = embedder.embed_images(pictures).vectors

    def ask(number):
        given = [pictures[number % 5], pictures[(number + 1) % 5]]
        found = service.embed("clip", [Input(image=opened(picture)) for picture in given])
        torch.testing.assert_close(found.embedding.vectors, images[[number % 5, (number + 1) % 5]])

    with ThreadPoolExecutor(16) as clients:
        list(clients.map(ask, range(64)))
    info = service.info()
    assert info["activity"]["load"]["count"] == 1 and max(map(int, info["batch_sizes"])) > 2
    assert sum(int(size) * count for size, count in info["batch_sizes"].items()) == 128


def test_siglip_reads_texts_with_its_tokenizer(tmp_path):
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a red bicycle and a blue square on the green grass"] * 20),
        model_writer=written,
        eos_id=1,
        eos_piece="</s>",
        pad_id=0,
        unk_id=2,
        bos_id=-1,
        vocab_size=40,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    size = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue()).get_piece_size()
    model = text_witness.siglip(64, 1, size, 0)
    file = tmp_path / "siglip.safetensors"
    save_file(model.state_dict(), file, metadata=text_witness.description(model))
    with EmbeddingService(FileModels({"siglip": file}, "cpu", "fp32")) as service:
        with pytest.raises(ValueError, match=r"^Input 1: .*Get tokenizer\.json from"):
            service.embed("siglip", [Input("red")])
        (tmp_path / "spiece.model").write_bytes(written.getvalue())
        found = service.embed("siglip", [Input("a red square"), Input(" ".join(["green grass"] * 40))])
        service.compare("siglip", [Input("red")], [Input(image=torch.rand(32, 32, 3))])
    expected = Embedder(file, "cpu", "fp32").embed_texts(["a red square", " ".join(["green grass"] * 40)])
    torch.testing.assert_close(found.embedding.vectors, expected.vectors)
    assert found.embedding.space == expected.space
    assert found.warnings == ("Input 2: The text is longer than 64 tokens; the rest is not seen.",)
    assert 64 < found.tokens < 64 + 64


@pytest.mark.parametrize(
    "given, wish, sentence",
    [
        (Input("red", "picture"), Wish(), "Input 1: A text and a picture in one input: .* only vision-language models"),
        (Input("red"), Wish(dimensions=8), "gives vectors of 24 numbers and was not trained for shorter ones: leave"),
        (Input("red"), Wish(instruction="Find it"), "takes no instruction: leave it out, or choose a vision-language"),
        (Input("red"), Wish(pooling="mean"), "one way of pooling: leave `pooling` out, or choose a vision-language"),
        (Input(image="no.png"), Wish(), r"Input 1: There is no picture 'no\.png'"),
        (Input(image=torch.rand(2, 9, 9, 3)), Wish(), "Input 1: An input is one picture, and 2 were given"),
    ],
)
def test_what_a_clip_cannot_embed_is_refused(service, given, wish, sentence):
    with pytest.raises(ValueError, match=sentence):
        service.embed("clip", [given], wish)


def test_a_file_of_pictures_alone_says_where_texts_are_read(model, tmp_path):
    file = tmp_path / "images.safetensors"
    images = {key: tensor for key, tensor in model.state_dict().items() if key.startswith("vis")}
    save_file(images, file, metadata=text_witness.description(model))
    with EmbeddingService(FileModels([file], "cpu")) as service:
        assert len(service.embed(file.name, [Input(image=torch.rand(32, 32, 3))]).embedding) == 1
        with pytest.raises(ValueError, match="alone, without its text encoder. Use the full file"):
            service.embed(file.name, [Input("red")])


def test_it_says_where_it_is_and_what_it_reads_without_a_path(service, file):
    service.embed("clip", [Input("red")])
    (info,) = service.info()["models"]
    expected = {"loaded": True, "dimension": 24, "device": "cpu", "dtype": "float32", "image_size": 32, "tokens": 5}
    assert expected.items() <= info.items()
    assert info["text"] == {"context": 77, "device": "cpu"}
    assert str(file.parent) not in str(service.info())


@pytest.mark.parametrize("fits, tried", [(9, [9]), (8, [9, 8]), (1, [9, *CHUNKS]), (0, [9, *CHUNKS, 1])])
def test_where_a_gpu_is_short_of_memory_it_computes_less_at_once_and_then_on_the_cpu(file, monkeypatch, fits, tried):
    """There is none here: an encoder that says it is on one, where so many pictures fit."""
    found, device = ClipModel(file, "cpu", "fp32"), [torch.device("cuda")]
    prepared = [found.prepare(Input(image=torch.rand(32, 32, 3)), Wish()) for _ in range(9)]
    expected, chunks = found.compute(prepared), []
    move = VisionEncoder.to

    def moved(encoder, to, *args):
        device[0] = to
        return move(encoder, to, *args)

    def encode(encoder, pixel_values, *, chunk_size, **options):
        chunks.append(chunk_size)
        if chunk_size > fits and device[0].type == "cuda":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        with monkeypatch.context() as patch:
            patch.setattr(VisionEncoder, "weight_device", torch.device("cpu"))
            return encode_pixels(encoder, pixel_values, chunk_size=chunk_size, **options)

    monkeypatch.setattr(VisionEncoder, "weight_device", property(lambda _: device[0]))
    monkeypatch.setattr(VisionEncoder, "to", moved)
    monkeypatch.setattr(clip_model, "encode_pixels", encode)
    torch.testing.assert_close(found.compute(prepared), expected)
    assert chunks == tried and device[0].type == ("cuda" if fits else "cpu")


def test_a_model_that_does_not_fit_on_a_gpu_is_loaded_on_the_cpu(file, monkeypatch):
    devices = []

    def load(path, device, dtype):
        devices.append(device)
        if device != torch.device("cpu"):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return Embedder(path, device, dtype).image_encoder

    monkeypatch.setattr(clip_model, "load", load)
    assert ClipModel(file, "cuda").info()["device"] == "cpu" and devices == ["cuda", torch.device("cpu")]
