"""The socket types and the category that several nodes share."""

from comfy_api.latest import io

CATEGORY = "image prompt"

Adapter = io.Custom("IMAGE_PROMPT_ADAPTER")
AdapterInput = io.Custom("IMAGE_PROMPT_ADAPTER,IPADAPTER").Input  # also what loaders of other packs give
FaceAnalyserType = io.Custom("INSIGHTFACE")
FaceAnalyserInput = io.Custom("INSIGHTFACE,FACEANALYSIS").Input  # also as InstantID's and PuLID's own packs call it
ImagePromptType = io.Custom("IMAGE_PROMPT")
InfluenceType = io.Custom("INFLUENCE")
LayerWeightsType = io.Custom("IMAGE_PROMPT_LAYER_WEIGHTS")
StepWeightsType = io.Custom("IMAGE_PROMPT_STEP_WEIGHTS")
