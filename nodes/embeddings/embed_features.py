"""The node that makes embeddings of image features."""

from typing import Any

from comfy.clip_vision import Output
from comfy_api.latest import io

from ..display import said
from ..sockets import CATEGORY, EmbeddingType
from .pictures import embed_features


class EmbedFeatures(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptEmbedding",
            display_name="Embed Image Features",
            category=CATEGORY,
            description="Makes an embedding of the features of pictures, also of saved ones. It compares with "
            "embeddings of texts and pictures by the same encoder.",
            search_aliases=["image embedding", "clip image embeds", "image similarity", "embed", "vector"],
            inputs=[
                io.ClipVisionOutput.Input(
                    "features",
                    tooltip="Features of Encode Image Prompt, of Load Image Prompt Features or of core's CLIP Vision "
                    "Encode, which must not have been encoded for one adapter only.",
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="The encoder that made the features. Only those of core's nodes need it: they do not say "
                    "which encoder they are of.",
                ),
            ],
            outputs=[EmbeddingType.Output(display_name="embedding", tooltip="One vector for each picture.")],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, features: Output, clip_vision: Any = None) -> io.NodeOutput:
        embedding = embed_features(features, clip_vision)
        pictures = f"{len(embedding)} picture{'' if len(embedding) == 1 else 's'}"
        return io.NodeOutput(embedding, ui=said(f"{embedding.space.title}\n{pictures}"))
