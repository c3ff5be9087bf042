"""The node that says how alike pictures and texts are."""

from typing import Any

from comfy_api.latest import io

from ...references.similarity import cosines
from ..display import said
from ..sockets import CATEGORY, EmbeddingType
from .pictures import as_embedding
from .tables import number, similarity_table


class SimilarityOfEmbeddings(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptSimilarity",
            display_name="Similarity of Embeddings",
            category=CATEGORY,
            description="Says how alike texts and pictures are, as the cosine of their embeddings: -1 to 1. Of CLIP, a "
            "text and a picture that fit have about 0.2 to 0.35, two alike pictures 0.6 to 0.95.",
            search_aliases=["clip score", "cosine similarity", "compare images", "image text similarity", "clipscore"],
            inputs=[
                EmbeddingType.Input("a", tooltip="Texts or pictures, from a node that embeds them."),
                EmbeddingType.Input("b", tooltip="What to compare them with, by the same encoder."),
            ],
            outputs=[
                io.Float.Output(display_name="similarity", tooltip="The cosine of the first of a and the first of b."),
                io.String.Output(
                    display_name="table",
                    tooltip="The cosine of each of a with each of b. For texts and pictures it also has probabilities: "
                    "of CLIP the share of each text among all texts, of SigLIP how likely each pair is.",
                ),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, a: Any, b: Any) -> io.NodeOutput:
        one, other = as_embedding(a, "a"), as_embedding(b, "b")
        cosine = cosines(one, other)
        words = f"cosine {number(float(cosine[0, 0]))}"
        if cosine.numel() > 1:
            words += f"\n{cosine.numel():,} pairs: {number(float(cosine.min()))} to {number(float(cosine.max()))}"
        return io.NodeOutput(float(cosine[0, 0]), similarity_table(one, other), ui=said(words))
