"""Words that users of other packs type into the search find a node of this pack that does it."""

import pytest

from image_prompt.nodes import NODES

WORDS = {  # word -> ids without "ImagePrompt"
    "weight type": {"Apply", "Reference", "LayerWeights"},
    "style transfer": {"Apply", "Reference", "LayerWeights"},
    "style and composition": {"Apply", "ApplyReferences", "LayerWeights"},
    "precise style": {"LayerWeights"},
    "mad scientist": {"LayerWeights"},
    "face": {"EncodeFace", "FaceAnalyserLoader", "FaceOptions", "InstantIDControlNet"},
    "attention mask": {"Apply", "Reference", "ApplyReferences", "Conditioning"},
    "regional": {"Reference", "ApplyReferences", "Conditioning"},
    "redux": {"Apply"},
    "crop": {"Encode", "EncodeFace", "EncodeCharacter"},
    "negative": {"Apply", "Reference"},
    "faceid": {"EncodeFace", "FaceAnalyserLoader", "FaceOptions", "LoadModels"},
    "insightface": {"EncodeFace", "FaceAnalyserLoader"},
    "instantid": {"EncodeFace", "FaceAnalyserLoader", "FaceOptions", "InstantIDControlNet"},
    "pulid": {"EncodeFace", "FaceAnalyserLoader", "FaceOptions"},
    "ipadapter unified loader": {"LoadModels"},
    "load ipadapter model": {"LoadAdapter"},
    "load clip vision": {"LoadEncoder"},
    "clip vision encode": {"Encode"},
    "prepare image": {"Encode"},
    "prep image for clip vision": {"Encode"},
    "prep image for insightface": {"EncodeFace"},
    "ipadapter encoder": {"Encode"},
    "embeds": {"Encode", "EncodeFace", "Combine", "SaveFeatures", "LoadFeatures"},
    "combine embeds": {"Combine"},
    "save embeds": {"SaveFeatures"},
    "load embeds": {"LoadFeatures"},
    "tiled": {"Encode", "EncodeFolder"},
    "batch": {"Apply", "EncodeFolder"},
    "combine params": {"ApplyReferences"},
    "weights strategy": {"StepWeights"},
    "keyframes": {"StepWeights"},
    "heat map": {"RecordInfluence", "InfluenceMap"},
    "missing models": {"ModelReport"},
    "image search": {"NearestReference"},
    "similar images": {"NearestReference"},
    "image database": {"AddToLibrary"},
    "recommend settings": {"Advise"},
    "rating": {"RateInLibrary"},
    "clip score": {"EmbedText", "Similarity", "Rank"},
    "image similarity": {"Embedding", "Unique"},
    "best of n": {"Rank"},
    "duplicates": {"Unique"},
}


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize("word", WORDS)
def test_a_word_of_other_packs_finds_the_nodes_that_fit(word):
    schemas = [node.define_schema() for node in NODES]
    found = {
        schema.node_id.removeprefix("ImagePrompt")
        for schema in schemas
        if any(word in name.lower() for name in (schema.display_name or "", *schema.search_aliases))
    }
    assert WORDS[word] <= found
