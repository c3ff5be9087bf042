"""Pictures and texts by a vision-language model, in workflows that go through the queue."""

import pytest

from image_prompt.devtools.comfyui import ServerError, check_success

PHOTOGRAPH, OTHER = "grace_hopper.jpg", "astronaut.jpg"


def node(kind: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs}


def compared(**options: object) -> dict:
    """A picture by a narrow Qwen3-VL, compared with itself, with another one and with a text."""
    workflow = {"clip": node("ImagePromptDemoText", base_model="Qwen3-VL", seed=0)}
    for name, given in (("one", PHOTOGRAPH), ("other", OTHER)):
        workflow[f"picture {name}"] = node("LoadImage", image=given)
        workflow[name] = node(
            "ImagePromptEmbedVLM", clip=["clip", 0], image=[f"picture {name}", 0], max_pixels=16384, **options
        )
    workflow["text"] = node("ImagePromptEmbedVLM", clip=["clip", 0], text="a portrait")
    for name in ("one", "other", "text"):
        workflow[f"{name} alike"] = node("ImagePromptSimilarity", a=["one", 0], b=[name, 0])
        workflow[f"{name} cosine"] = node("PreviewAny", source=[f"{name} alike", 0])
    return workflow


def test_pictures_and_texts_are_compared(server):
    entry = server.wait(server.queue(compared()))
    check_success(entry)
    cosine = {name: float(entry["outputs"][f"{name} cosine"]["text"][0]) for name in ("one", "other", "text")}
    assert (
        cosine["one"] == pytest.approx(1, abs=1e-5) and -1 < cosine["other"] < 0.9999 and -1 < cosine["text"] < 0.9999
    )
    (said,) = entry["outputs"]["one"]["image_prompt_said"]
    assert said == "Qwen3-VL of 4 layers, 64 wide (64 numbers, last token)"


def test_spaces_of_different_poolings_are_refused(run):
    with pytest.raises(ServerError, match="ImagePromptSimilarity: .*mean of tokens.*last token.*do not compare"):
        run(compared(pooling="mean"))


def test_a_clip_is_refused_in_words(run):
    workflow = compared() | {"clip": node("ImagePromptDemoText", base_model="Flux", seed=0)}
    with pytest.raises(ServerError, match="ImagePromptEmbedVLM: The clip is a FluxText, which holds no Qwen3-VL. Load"):
        run(workflow)
