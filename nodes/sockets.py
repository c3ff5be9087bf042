"""The socket types and the category that several nodes share."""

from comfy_api.latest import io

from ..ip_adapter import APPLIED_TO

CATEGORY = "image prompt"
STEERED = f"A {', '.join(APPLIED_TO[:-1])} or {APPLIED_TO[-1]} model; other patches on it stay."  # tooltip of models

Adapter = io.Custom("IMAGE_PROMPT_ADAPTER")
AdapterInput = io.Custom("IMAGE_PROMPT_ADAPTER,IPADAPTER").Input  # also what loaders of other packs give
EmbeddingType = io.Custom("EMBEDDING")
FaceAnalyserType = io.Custom("INSIGHTFACE")
FaceAnalyserInput = io.Custom("INSIGHTFACE,FACEANALYSIS").Input  # also as InstantID's and PuLID's own packs call it
ImagePromptType = io.Custom("IMAGE_PROMPT")
InfluenceType = io.Custom("INFLUENCE")
LayerWeightsType = io.Custom("IMAGE_PROMPT_LAYER_WEIGHTS")
StepWeightsType = io.Custom("IMAGE_PROMPT_STEP_WEIGHTS")
