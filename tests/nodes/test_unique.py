"""One of each picture of a batch is kept: hashes tell the same picture from a similar one, and nothing chains."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from image_prompt.nodes.display import SAID
from image_prompt.nodes.embeddings.pictures import embed_pictures
from image_prompt.nodes.embeddings.unique import KeepUniquePictures


def saved(picture: torch.Tensor, quality: int = 80) -> torch.Tensor:
    """A picture (H, W, 3) as a JPEG has it."""
    file = io.BytesIO()
    Image.fromarray((picture.numpy() * 255).round().astype(np.uint8)).save(file, "jpeg", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(file), dtype=np.float32) / 255)


@pytest.fixture(scope="module")
def scenes():
    """Two pictures of soft shapes, and the mirrored first."""
    small = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(4))
    large = torch.nn.functional.interpolate(small, (64, 80), mode="bicubic").clamp(0, 1).movedim(1, -1)
    return [*large, large[0].flip(1)]


def unique(encoder, images, *options):
    return KeepUniquePictures.execute(torch.stack(images), encoder, *options)


def test_the_first_of_the_same_pictures_is_kept(encoder, scenes):
    one, two, mirrored = scenes
    batch = [one, saved(one), two, mirrored, saved(two), saved(one, 60)]
    images, indices, groups = unique(encoder, batch).args
    assert indices == [0, 2, 3] and torch.equal(images, torch.stack([one, two, mirrored]))
    assert groups == "0 is kept; same picture: 1, 5\n2 is kept; same picture: 4"
    assert unique(encoder, batch).ui[SAID] == ["3 of 6 pictures left out; groups: 2"]


def test_similar_pictures_are_those_above_the_threshold(encoder, scenes):
    cosine = embed_pictures(encoder, torch.stack(scenes)).vectors.double()
    cosine = (cosine @ cosine.T).numpy()
    for threshold in (0.0, float(cosine[0, 2]) - 1e-3, float(cosine[0, 2]) + 1e-3, 1.0):
        kept = []
        for number in range(3):
            if not any(cosine[number, other] > threshold for other in kept):
                kept.append(number)
        assert unique(encoder, scenes, "similar", threshold).args[1] == kept
    images, indices, groups = unique(encoder, scenes, "similar", 1.0).args
    assert (len(images), groups) == (3, "No two pictures are similar.")


def test_what_cannot_be_compared_is_refused(encoder, scenes):
    with pytest.raises(ValueError, match="The threshold is 2: it must be a number between 0 and 1"):
        unique(encoder, scenes, "similar", 2)
    with pytest.raises(ValueError, match="The input alike is the text 'same'"):
        unique(encoder, scenes, "same")
    with pytest.raises(ValueError, match="clip_vision is nothing: connect Load Image Encoder"):
        unique(None, scenes)
