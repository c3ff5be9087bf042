"""The nodes of PuLID take the largest face, and its attention is that of the formulas of PuLID_ComfyUI.

Letters: see formulas.py.
"""

import json
from functools import cache

import pytest
import tiny
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from image_prompt.devtools import published
from image_prompt.faces import align
from image_prompt.ip_adapter import load_adapter
from image_prompt.nodes.compat.middle import IPAdapterMiddleBlock
from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.other_packs import pulid
from image_prompt.nodes.encoding.encoder import ImageEncoder
from image_prompt.nodes.loading.adapter import ImagePromptAdapter

from .calls import World
from .face_world import Finder, bytes_of, faces_in
from .formulas import attention, mask_rows

CLASSES = {row.id: node_class(row, "test") for row in pulid.ROWS}
PICTURES = (torch.randint(1, 255, (2, 190, 180, 3), generator=torch.Generator().manual_seed(1)) + 0.7) / 255
MASK = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(3))
EVA = {"name": "tiny EVA", "heads": 4, "image_size": 56}
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
FEATURES = ("face_embeds_raw", "face_eva_embeds", "face_eva_hidden")


class PulidWorld(World):
    def __init__(self):
        super().__init__("SDXL")
        shapes = lambda context: published.pulid_former(context, hidden=32, width=32, embeds=24)  # noqa: E731
        self.file = tiny.file_for(self.model, shapes)
        self.adapter = ImagePromptAdapter(load_adapter(self.file), "pulid_v1.1.safetensors")


@cache
def world():
    return PulidWorld()


@pytest.fixture(scope="module")
def eva(tmp_path_factory):
    """An image encoder like EVA02-CLIP-L-336."""
    path = tmp_path_factory.mktemp("eva") / "eva.safetensors"
    shapes = published.eva(32, depth=24, mlp=64, projection=24, patch=14, size=56)
    save_file(published.fill(shapes, 3), path, metadata={"vision_config": json.dumps(EVA)})
    return ImageEncoder.from_file(str(path))


def largest(image):
    *_, face = faces_in(bytes_of(image))
    return face


def seen(eva: ImageEncoder, image: Tensor) -> tuple[Tensor, ...]:
    """The features of the largest face in a picture: identity, embedding and hidden states of its look in grey."""
    face, picture = largest(image), bytes_of(image)[..., ::-1]
    crop = torch.from_numpy(align(picture, face.kps, 512, template="ffhq")) / 255.0
    grey = (crop @ torch.tensor([0.299, 0.587, 0.114])).expand(1, 3, -1, -1)
    pixels = F.interpolate(grey, (56, 56), mode="bicubic", antialias=True)
    pixels = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    found = eva.features(pixels, None, want=("image_embeds", "some_hidden_states"), on_chunk=lambda count: None)
    embeds, hidden = (found[each].float() for each in ("image_embeds", "some_hidden_states"))
    return torch.from_numpy(face.embedding)[None], embeds / embeds.norm(dim=-1, keepdim=True), hidden


def tokens_of(features):
    return world().adapter.module.tokens(dict(zip(FEATURES, features, strict=True)))


def with_zeros(tokens, count):
    return torch.cat([tokens, torch.zeros(1, count, tokens.shape[-1])], 1)


def joined(text: Tensor, q: Tensor, tokens: Tensor, layer, kind: str) -> Tensor:
    """What the tokens (1, T, C) add to the attention to the text (B, L, I), at a weight of 1."""
    k, v = ((tokens.double() @ each.T).expand(len(q), -1, -1) for each in (layer.to_k, layer.to_v))
    out = attention(q, k, v, layer.heads)
    if kind == "neutral":
        return out
    along = (text * out).sum(-2, keepdim=True) / (text * text).sum(-2, keepdim=True) * text
    if kind == "style":
        return out - along
    seen = (q.double() @ k.transpose(-2, -1)).softmax(-1).mean(1, keepdim=True)[:, :, :5].sum(-1, keepdim=True)
    return out + (seen - 1) * along


def of_text(seen) -> Tensor:
    return attention(seen.q, seen.k, seen.v, world().layers[seen.number, seen.depth].heads)


def check(model, cond: Tensor, uncond: Tensor, kind: str, weight: float, mask=None, middle=False, percent=0.5):
    """All layers but the middle give the text and what the tokens add."""
    here = world()
    for each in here.calls(model, here.sigma(percent)):
        layer, text = here.layers[each.number, each.depth], of_text(each)
        if each.number == 4 and not middle:
            assert each.out is None or (each.out - text).abs().max() < 1e-5
            continue
        parts = []
        for index, rows, known in zip(each.order, each.q.chunk(2), text.chunk(2), strict=True):
            part = weight * joined(known, rows, uncond if index == 1 else cond, layer, kind)
            parts.append(part if mask is None else part * mask_rows(mask, each.grid, each.pictures))
        added = torch.cat(parts)
        error = (each.out.double() - text - added).abs().max()
        assert error <= 2e-5 * added.abs().max() + 4e-7 * (text.abs().max() + added.abs().max()), (each.number, error)


@pytest.fixture
def run(eva):
    def run(id, **inputs):
        given = {"model": world().model, "pulid": world().adapter, "eva_clip": eva, "face_analysis": Finder()}
        given |= {"image": PICTURES[:1], "attn_mask": None}
        given |= {each.name: each.default for each in CLASSES[id].row.inputs if not each.is_socket} | inputs
        names = {each.name for each in CLASSES[id].row.inputs}
        node = CLASSES[id]()
        return getattr(node, node.FUNCTION)(**{name: each for name, each in given.items() if name in names})[0]

    return run


ZERO = {"fidelity": 8, "style": 16, "neutral": 0}


@pytest.mark.parametrize("method", ZERO)
def test_a_method_is_a_way_to_join_the_text_and_a_number_of_zeros(run, eva, method):
    features = seen(eva, PICTURES[0])
    cond = with_zeros(tokens_of(features), ZERO[method])
    uncond = with_zeros(tokens_of([torch.zeros_like(each) for each in features]), ZERO[method])
    check(run("ApplyPulid", method=method, weight=0.8, attn_mask=MASK), cond, uncond, method, 0.8, MASK)


@pytest.mark.parametrize(("projection", "kind"), [("ortho_v2", "fidelity"), ("ortho", "style"), ("none", "neutral")])
def test_the_advanced_node_takes_both_apart(run, eva, projection, kind):
    features = seen(eva, PICTURES[0])
    cond = with_zeros(tokens_of(features), 3)
    uncond = with_zeros(tokens_of([torch.zeros_like(each) for each in features]), 3)
    given = {"projection": projection, "fidelity": 3, "weight": 0.9, "start_at": 0.3, "end_at": 0.7}
    model = run("ApplyPulidAdvanced", **given)
    for percent in (0.3, 0.7):
        check(model, cond, uncond, kind, 0.9, percent=percent)
    late = world().calls(model, world().sigma(0.8))
    assert all(each.out is None or torch.allclose(each.out.double(), of_text(each), atol=1e-5) for each in late)


def test_the_tokens_of_several_faces_are_averaged(run, eva):
    faces = [seen(eva, each) for each in PICTURES]
    cond = with_zeros(torch.cat([tokens_of(each) for each in faces]).mean(0, keepdim=True), 8)
    uncond = with_zeros(tokens_of([torch.zeros_like(each) for each in faces[0]]), 8)
    check(run("ApplyPulid", image=PICTURES), cond, uncond, "fidelity", 1.0)


def test_pictures_without_a_face_are_left_out(run, eva, caplog):
    features = seen(eva, PICTURES[1])
    cond, uncond = (
        with_zeros(tokens_of(each), 8) for each in (features, [torch.zeros_like(each) for each in features])
    )
    finder = Finder(only=PICTURES[1:])
    check(run("ApplyPulid", image=PICTURES, face_analysis=finder), cond, uncond, "fidelity", 1.0)
    assert "No face was found in picture 1 of 2 in the image" in caplog.text
    alone = run("ApplyPulid", face_analysis=finder)
    assert all(each.out is None for each in world().calls(alone))
    assert "640, 576, 512, 448, 384, 320 pixels" in caplog.text and "The model is left as it is." in caplog.text


def test_the_middle_block_acts_where_asked(run, eva):
    features = seen(eva, PICTURES[0])
    cond, uncond = (tokens_of(each) for each in (features, [torch.zeros_like(each) for each in features]))
    (on,) = IPAdapterMiddleBlock.execute(world().adapter).args
    check(run("ApplyPulid", method="neutral", pulid=on), cond, uncond, "neutral", 1.0, middle=True)


def test_noise_is_in_what_is_nobody_and_in_the_zeros_and_is_the_same_for_the_same_face(run):
    def outs(**given):
        return [each.out for each in world().calls(run("ApplyPulidAdvanced", **given)) if each.out is not None]

    def halves(found):
        return [torch.stack([each.chunk(2)[side].float().norm() for each in found]) for side in (0, 1)]

    plain, noisy, again = outs(), outs(noise=0.5), outs(noise=0.5)
    assert all(map(torch.equal, noisy, again))
    for one, other in zip(halves(plain), halves(noisy), strict=True):  # of the positive and the negative prompt
        assert not torch.allclose(one, other, rtol=1e-3)
    positive = world().calls(run("ApplyPulidAdvanced", noise=0.0, fidelity=0))
    alike = world().calls(run("ApplyPulidAdvanced", noise=0.5, fidelity=0))
    for one, other in zip(positive, alike, strict=True):  # without zeros, the noise is only in the negative prompt
        row = one.order.index(0)
        assert one.out is None or torch.equal(one.out.chunk(2)[row], other.out.chunk(2)[row])


@pytest.mark.parametrize(
    ("id", "inputs", "words"),
    [
        ("ApplyPulid", {"pulid": None}, "The pulid is nothing: connect the output of Load PuLID Model"),
        ("ApplyPulid", {"eva_clip": "a word"}, "The eva_clip is the text 'a word'. PuLID reads EVA02-CLIP-L-336: conn"),
        ("ApplyPulid", {"eva_clip": tiny.encoder()}, "The eva_clip is tiny CLIP. PuLID reads EVA02-CLIP-L-336"),
        ("ApplyPulid", {"face_analysis": 3}, "The face_analysis is 3: connect the output of Load InsightFace"),
        ("ApplyPulid", {"image": None}, "The image is nothing"),
        ("ApplyPulid", {"model": tiny.unet("SD1.5")}, "IP-Adapter for SDXL, the model is SD1.5"),
        ("ApplyPulid", {"method": "strong"}, "method is the text 'strong': choose one of fidelity, style, neutral"),
        ("ApplyPulid", {"weight": "a"}, "The weight is the text 'a'"),
        ("ApplyPulidAdvanced", {"projection": "v3"}, "projection is the text 'v3': choose one of ortho_v2"),
        ("ApplyPulidAdvanced", {"fidelity": -1}, "The fidelity is -1"),
        ("ApplyPulidAdvanced", {"noise": 2}, "The noise is 2"),
        ("ApplyPulid", {"attn_mask": "a word"}, "The attn_mask is the text 'a word'"),
        ("PulidInsightFaceLoader", {"provider": "TPU"}, "provider is the text 'TPU': choose one of CPU"),
        ("PulidInsightFaceLoader", {"provider": "CPU"}, "(?s)antelopev2 is not in models/insightface.*Get antelopev2"),
        ("PulidEvaClipLoader", {}, "(?s)PuLID reads EVA02-CLIP-L-336.*Get EVA02"),
        ("PulidModelLoader", {"pulid_file": "a.bin"}, "a.bin is not in models/pulid"),
    ],
)
def test_bad_input_is_named(run, id, inputs, words, folders):
    with pytest.raises(ValueError, match=words):
        run(id, **inputs)


def test_files_are_loaded_from_their_folders(run, folders):
    (folders / "pulid").mkdir(exist_ok=True)
    save_file(world().file, folders / "pulid" / "mine.safetensors")
    loaded = run("PulidModelLoader", pulid_file="mine.safetensors")
    assert loaded.module.family.id == "pulid-sdxl-v1.1"
    model = run("ApplyPulid", pulid=loaded)
    expected = run("ApplyPulid")
    for one, other in zip(world().calls(model), world().calls(expected), strict=True):
        assert (one.out is None) == (other.out is None) and (one.out is None or torch.equal(one.out, other.out))
