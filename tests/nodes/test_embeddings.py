"""Pictures, features and texts in one space, compared with transformers and with core."""

import pytest
import tiny
import torch
import torch.nn.functional as F

from image_prompt.nodes.embeddings.pictures import embed_features, embed_pictures
from image_prompt.nodes.encoding.encode import CombineImagePrompts, EncodeImagePrompt
from image_prompt.nodes.encoding.saving.library import LoadImagePromptFeatures, SaveImagePromptFeatures
from image_prompt.references.similarity import cosines


def test_pictures_have_the_direction_of_their_image_embeds(encoder, core_encoder, pictures):
    features = EncodeImagePrompt.execute(encoder, pictures).args[0]
    expected = F.normalize(features.image_embeds.double(), dim=1)
    for found in (embed_pictures(encoder, pictures), embed_features(features), embed_pictures(core_encoder, pictures)):
        torch.testing.assert_close(found.vectors.double(), expected, rtol=0, atol=1e-5)
        assert (found.of, found.space.dimension) == ("image", 24)


def test_features_keep_their_space_while_they_are_combined_and_saved(folders, encoder, pictures):
    first, second = (EncodeImagePrompt.execute(encoder, pictures[place : place + 1]).args[0] for place in (0, 1))
    combined = CombineImagePrompts.execute("average", features_1=first, features_2=second).args[0]
    name = SaveImagePromptFeatures.execute(first, "a").args[0]
    saved = LoadImagePromptFeatures.execute(name).args[0]
    whole = embed_pictures(encoder, pictures)
    assert float(cosines(embed_features(combined), whole)[0, 0]) > 0.5
    assert float(cosines(embed_features(saved), whole)[0, 0]) > 0.999


def test_features_of_core_are_of_the_encoder_that_is_said(core_encoder, encoder, pictures):
    features = core_encoder.encode_image(pictures)
    with pytest.raises(ValueError, match="do not say which encoder made them.*connect that encoder to clip_vision"):
        embed_features(features)
    found = embed_features(features, core_encoder)
    assert cosines(found, embed_pictures(core_encoder, pictures)).diagonal().min() > 0.99
    ours = EncodeImagePrompt.execute(encoder, pictures).args[0]
    with pytest.raises(ValueError, match=r"The clip_vision was encoded by tiny CLIP \(16 .*the features by .*\(24 "):
        embed_features(ours, tiny.encoder(projection=16))


def test_an_encoder_without_a_projection_is_refused_or_gives_its_class_token(encoder, pictures):
    file = {key: value for key, value in tiny.encoder_file().items() if not key.startswith("visual_projection")}
    bare = tiny.core_encoder(file)
    bare.model.visual_projection.weight.data.zero_()  # as memory that nobody has filled mostly is
    with pytest.raises(ValueError, match="The encoder that core loaded gives no embedding of a whole picture"):
        embed_pictures(bare, pictures)
