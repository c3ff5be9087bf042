"""Readers of model files: headers, weights, saved features, what a file is, and the files beside weights."""

import io
import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from hostile import BYTE_ORDER, CONTENTS, MAGIC, VERSION, legacy
from hostile_archives import ARCHIVES, torch_archive
from hostile_pickles import BOMBS, PICKLES, P, state_dict
from hostile_safetensors import BROKEN, STRICTER
from safetensors.torch import save
from shapes import archives_with, json_with, pickles, safetensors_with
from target import Target, file_in, unshaped

from image_prompt import clip_vision, ip_adapter
from image_prompt.clip_vision.files.description import DESCRIBED, described
from image_prompt.clip_vision.saving.saved import describe_features
from image_prompt.clip_vision.text.siglip_tokenizers import read_tokenizer
from image_prompt.devtools import published
from image_prompt.faces.onnx_names import first_node_names
from image_prompt.model_files.index import identify
from image_prompt.references.vision_language.folder import CONFIG, INDEX, KIND, LAYOUT, WEIGHTS, checked_folder, kind_of
from image_prompt.tensor_files import Header, TensorInfo, read_header
from image_prompt.tensor_files.tensor_info import DTYPE_BITS, is_shape
from image_prompt.tensor_files.weights import open_weights

LARGEST = 1 << 45  # numbers of a tensor
SMALL = 8192  # bytes of a file that a fuzzer begins from
DTYPES = tuple(DTYPE_BITS)


def small(*tables: Mapping[str, Any]) -> Iterator[bytes]:
    """The content of hostile files, without the large ones."""
    for made, _ in (row for table in tables for row in table.values()):
        data = made if isinstance(made, bytes) else b""
        if 0 < len(data) < SMALL:
            yield data


def saved(value: object, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


TENSORS = {"a.weight": torch.ones(2, 3), "b": torch.zeros(4, dtype=torch.float16), "c": torch.tensor(7)}
CHECKPOINT = {"state_dict": TENSORS, "epoch": 3, "hyper_parameters": {"lr": 0.1}}


def safetensors_seeds() -> Iterable[bytes]:
    yield save(TENSORS, {"format": "pt"})
    yield save({"x": torch.zeros(0, 3)})
    yield from small(BROKEN, STRICTER, CONTENTS)


def archive_seeds() -> Iterable[bytes]:
    yield from (saved(value) for value in (TENSORS, CHECKPOINT, torch.ones(2, 4), torch.nn.Parameter(torch.ones(2))))
    yield torch_archive(state_dict())
    yield from small(ARCHIVES)
    yield from (torch_archive(data) for data in small(PICKLES))
    yield from (torch_archive(bomb(Path("/fuzzed"))) for bomb, _ in BOMBS.values())


def legacy_seeds() -> Iterable[bytes]:
    yield from (saved(each, _use_new_zipfile_serialization=False) for each in (TENSORS, CHECKPOINT, torch.ones(2, 4)))
    yield from (legacy(state_dict()), MAGIC + VERSION + BYTE_ORDER + P + b"}." + P + b"].")
    yield from (legacy(data) for data in small(PICKLES))
    yield from (legacy(bomb(Path("/fuzzed"))) for bomb, _ in BOMBS.values())


def header(data: bytes, folder: Path) -> None:
    found = read_header(file_in(folder, "model.safetensors", data), one_tensor=True)
    assert all(is_shape(info.shape) and isinstance(name, str) for name, info in found.tensors.items())


def weights(data: bytes, folder: Path) -> None:
    with open_weights(file_in(folder, "model.safetensors", data), one_tensor=True) as opened:
        for name, expected in opened.tensors.items():
            tensor = opened.read(name)
            assert tensor.shape == expected.shape


def features(data: bytes, folder: Path) -> None:
    path = file_in(folder, "cat.safetensors", data)
    try:
        clip_vision.load_features(path).picture()
    finally:
        describe_features(path)


def features_seeds() -> Iterable[bytes]:
    """Files as they are saved, the largest kind with a thumbnail, and files of IPAdapter Plus."""
    from tempfile import TemporaryDirectory

    made = clip_vision.VisionFeatures(
        image_embeds=torch.ones(1, 4), penultimate=torch.ones(1, 3, 4), hidden={-2: torch.ones(1, 3, 4)}, encoder="ViT"
    )
    with TemporaryDirectory() as folder:
        for name, options in (
            ("plain", {}),
            ("whole", {"empty": made, "kept_for": "a", "pixel_shape": (3, 8, 8), "image": torch.ones(1, 8, 8, 3)}),
        ):
            path = Path(folder) / f"{name}.safetensors"
            clip_vision.save_features(path, made, **options)
            yield path.read_bytes()
    yield from (saved(torch.ones(shape)) for shape in ((1, 4), (2, 1, 4), (2, 1, 3, 4), (1, 257, 2)))
    yield saved(torch.ones(1, 4), _use_new_zipfile_serialization=False)
    yield from (saved(TENSORS), save(TENSORS))


def features_change(data: bytes, most: int, draw: Any, raw: Any) -> bytes:
    change = in_archive if data.startswith(b"PK") else pickles if data.startswith(b"\x80") else in_features
    return change(data, most, draw, raw)


in_archive = archives_with(pickles)
in_features = safetensors_with(
    *("__metadata__", "image_prompt_features", "1", "3", "widths", "kept_for", "pixel_shape", "thumbnail", "sources"),
    *(
        "image_embeds",
        "penultimate",
        "cls",
        "pooled",
        "hidden.-2",
        "empty.image_embeds",
        "face_id",
        "[3, 8, 8]",
        *DTYPES,
    ),
)


def what_it_is(data: bytes, folder: Path) -> None:
    """Identify a file by the header that JSON gives: {"tensors": {name: [dtype, shape]}, "metadata": {...}}."""
    try:
        header, name = _header(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return  # `read_header` gives no such header
    json.dumps(identify(header, name).to_dict())


def _header(data: bytes) -> tuple[Header, str]:
    given = json.loads(data)
    tensors = {
        name: TensorInfo(dtype, tuple(shape))
        for name, (dtype, shape) in given["tensors"].items()
        if dtype in DTYPE_BITS and is_shape(shape) and math.prod(shape) < LARGEST
    }
    metadata = {name: text for name, text in given["metadata"].items() if isinstance(text, str)}
    "".join([*tensors, *metadata, *metadata.values()]).encode()
    return Header("safetensors", tensors, metadata), str(given.get("name", ""))


def layouts() -> Iterable[bytes]:
    """The keys and shapes of published files, of those that repeat only the first."""
    for name in published.layouts():
        shapes = published.shapes(name)
        kept = {key: ["F16", shape] for key, shape in shapes.items() if not any(f".{n}." in key for n in range(3, 99))}
        data = json.dumps({"name": name, "tensors": dict(list(kept.items())[:120]), "metadata": {}}).encode()
        yield data
    tiny = published.encoder(64, depth=2, mlp=128, projection=32, patch=14)
    said = {"vision_config": json.dumps({"name": "a", "heads": 4, "activation": "gelu", "image_size": 56})}
    yield json.dumps({"tensors": {key: ["F32", shape] for key, shape in tiny.items()}, "metadata": said}).encode()


def description(data: bytes, folder: Path) -> None:
    text = data.decode(errors="surrogateescape")
    for of in DESCRIBED:
        described({of: text}, of)


def face_pack(data: bytes, folder: Path) -> None:
    names = first_node_names(file_in(folder, "det.onnx", data), 4)
    assert len(names) <= 4 and all(isinstance(each, str) for each in names)


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


NODES = b"".join(field(1, field(3, name) + field(4, b"Conv")) for name in (b"Conv_0", b"PRelu_1", b"Add_2"))
ONNX = b"\x08\x06" + field(2, b"pytorch") + field(7, NODES + field(2, b"graph"))


def vision_language(data: bytes, folder: Path) -> None:
    """A folder with this config.json and, behind a blank line, this index of weights."""
    file_in(folder, "tokenizer.json", b"{}")
    file_in(folder, "part.safetensors", save({"a": torch.ones(2)}))
    config, _, index = data.partition(b"\n\n")
    file_in(folder, CONFIG, config)
    if index:
        file_in(folder, INDEX, index)
    else:
        file_in(folder, WEIGHTS, save({"a": torch.ones(2)}))
    try:
        assert isinstance(kind_of(folder), str)
        assert checked_folder(folder).numbers == 2
    finally:
        for each in folder.iterdir():
            each.unlink()


VISION_LANGUAGE = {
    "model_type": KIND,
    "text_config": {"num_hidden_layers": 28, "hidden_size": 2048, "max_position_embeddings": 4096},
    "vision_config": LAYOUT,
}
MAP = {"metadata": {"total_size": 8}, "weight_map": {"a": "part.safetensors", "b": "part.safetensors"}}


def two_texts(data: bytes, most: int, draw: Any, raw: Any) -> bytes:
    config, blank, index = data.partition(b"\n\n")
    change = json_with(KIND, "model_type", "quantization_config", "weight_map", "part.safetensors", "model.safetensors")
    if index and draw.random() < 0.6:
        return (config + blank + change(index, most, draw, raw))[:most]
    return (change(config, most, draw, raw) + blank + index)[:most]


def tokenizer(data: bytes, folder: Path) -> None:
    name = "tokenizer.json" if data.startswith(b"{") else "spiece.model"
    read_tokenizer(file_in(folder, name, data)).numbers("a cat\n on a mat")


WORD_LEVEL = {
    "version": "1.0",
    "added_tokens": [{"id": 1, "content": "</s>", "special": True, "single_word": False, "lstrip": False}],
    "normalizer": {"type": "Lowercase"},
    "pre_tokenizer": {"type": "Whitespace"},
    "model": {"type": "WordLevel", "vocab": {"<pad>": 0, "</s>": 1, "a": 2, "cat": 3}, "unk_token": "<pad>"},
}


def pieces() -> bytes:
    """A sentencepiece file of three pieces."""
    rows = [(b"<unk>", 2), (b"</s>", 3), (b"\xe2\x96\x81a", 1), (b"a", 1), (b"\xe2\x96\x81", 1)]
    made = [
        field(1, field(1, text) + b"\x15" + struct.pack("<f", -1.0) + b"\x18" + bytes([kind])) for text, kind in rows
    ]
    return b"".join(made)


def adapter(data: bytes, folder: Path) -> None:
    ip_adapter.load(file_in(folder, "model.safetensors", data), "cpu", None)


def encoder(data: bytes, folder: Path) -> None:
    clip_vision.load(file_in(folder, "model.safetensors", data), "cpu", None)


def adapters() -> Iterable[bytes]:
    xlabs = published.xlabs(published.base(16, 8), [16] * 2, 16)
    yield save(published.halves(published.fill(xlabs, 0)))
    yield save(published.halves(published.fill(published.adapter(published.base(8, 8), [8] * 2, 8), 0)))
    yield save(
        {"redux_up.weight": torch.ones(4, 8), "redux_up.bias": torch.ones(4), "redux_down.weight": torch.ones(8, 4)}
    )


def encoders() -> Iterable[bytes]:
    config = {"vision_config": json.dumps({"name": "a", "heads": 1, "activation": "gelu", "image_size": 8})}
    tiny = published.encoder(8, depth=2, mlp=8, projection=4, patch=4, size=8)
    yield save(published.halves(published.fill(tiny, 0)), config)
    yield save(published.halves(published.fill(published.headless(tiny), 0)), config)
    yield save(published.halves(published.fill(published.eva(8, 2, 8, 4, 4, 8), 0)), config)


torch_words = ("state_dict", "storage", "FloatStorage", "torch._utils", "_rebuild_tensor_v2", "data.pkl", "byteorder")
in_header = safetensors_with("__metadata__", "dtype", "shape", "data_offsets", "format", "pt", *DTYPES)
in_config = json_with("name", "heads", "image_size", "activation", "mean", "std", "gelu", "quick_gelu")

TARGETS: dict[str, Target] = {
    "safetensors": Target(header, safetensors_seeds, in_header, words=DTYPES),
    "torch archive": Target(header, archive_seeds, in_archive, words=torch_words, longest=SMALL),
    "torch pickle": Target(header, legacy_seeds, pickles, words=torch_words, longest=SMALL),
    "weights in safetensors": Target(weights, safetensors_seeds, in_header),
    "weights in archives": Target(weights, archive_seeds, in_archive, longest=SMALL),
    "weights in pickles": Target(weights, legacy_seeds, pickles, longest=SMALL),
    "saved features": Target(features, features_seeds, features_change, longest=SMALL),
    "what a file is": Target(
        what_it_is,
        layouts,
        json_with("F16", "F32", "I64", "vision_config", "text_config", "ip_adapter.1.to_k_ip.weight", "latents"),
        (),
        longest=1 << 16,
        runs=20_000,
    ),
    "adapter": Target(adapter, adapters, in_header, longest=1 << 15, runs=20_000),
    "encoder": Target(encoder, encoders, in_header, longest=1 << 15, runs=20_000),
    "description of an encoder": Target(
        description,
        lambda: [
            b'{"name": "a", "heads": 4, "image_size": 8, "activation": "gelu", "mean": [0, 0.5, 1], "std": [1, 1, 1]}'
        ],
        in_config,
    ),
    "face pack": Target(face_pack, lambda: [ONNX], unshaped, (), longest=1 << 15),
    "vision-language folder": Target(
        vision_language,
        lambda: [
            json.dumps(VISION_LANGUAGE).encode(),
            b"\n\n".join(json.dumps(e).encode() for e in (VISION_LANGUAGE, MAP)),
        ],
        two_texts,
    ),
    "tokenizer": Target(
        tokenizer,
        lambda: [json.dumps(WORD_LEVEL).encode(), pieces()],
        lambda data, most, draw, raw: (
            json_with("</s>", "<eos>", "BPE", "Unigram", "merges") if data[:1] == b"{" else unshaped
        )(data, most, draw, raw),
    ),
}
