"""The command that adds the nodes of a first image prompt, and the version among ComfyUI's own."""

from image_prompt.model_files.environment import pack_version

SCENARIO = "starter"


def test_the_nodes_stand_between_the_model_and_its_sampler(seen):
    chain = ["KSampler", "ImagePromptApply", "ImagePromptLoadModels", "CheckpointLoaderSimple"]
    assert seen["chain"] == chain
    assert "image-prompt.starter" in seen["commands"]


def test_an_empty_graph_becomes_a_template(seen):
    assert {"CheckpointLoaderSimple", "ImagePromptApply", "SaveImage"} <= set(seen["template"])


def test_the_version_is_told(seen):
    assert seen["badge"] == f"Image Prompt {pack_version()}"
