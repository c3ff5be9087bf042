"""The node that loads what finds and recognises faces."""

from comfy_api.latest import io

from ...faces import FaceAnalyser, available_providers
from .. import input_checks
from ..display import said
from ..folders import digest, file_state
from ..sockets import CATEGORY, FaceAnalyserType
from .face_packs import face_pack_folder, face_pack_names

AUTO, CPU = "auto", "CPU"
ENDING = "ExecutionProvider"  # of the names of onnxruntime
BY_NAME_ONLY = ("Azure", "NvTensorRTRTX", "Tensorrt")  # of which the first computes elsewhere, and others build long


def _providers() -> list[str]:
    """What onnxruntime can compute with here, without the ending of the names; empty if it is not installed."""
    return [name.removesuffix(ENDING) for name in available_providers()]


class LoadFaceAnalyser(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptFaceAnalyserLoader",
            display_name="Load Face Analyser",
            category=CATEGORY,
            description="Loads the models that find faces and tell whose they are: SCRFD and ArcFace, from "
            "models/insightface. It needs onnxruntime, and not insightface. The models are free for research only, "
            "not for commercial use.",
            search_aliases=[
                "insightface",
                "face analysis",
                "faceid",
                "buffalo_l",
                "antelopev2",
                "instantid",
                "pulid",
                "face detection",
            ],
            inputs=[
                io.Combo.Input(
                    "face_pack",
                    options=face_pack_names(),
                    tooltip="The models, for research only: buffalo_l for FaceID, antelopev2 for InstantID, PuLID and "
                    "Kolors FaceID.",
                ),
                io.Combo.Input(
                    "provider",
                    options=list(dict.fromkeys((AUTO, CPU, *_providers()))),
                    default=AUTO,
                    optional=True,
                    tooltip="What onnxruntime computes with. A picture takes a fraction of a second on the CPU too; "
                    "'auto' takes the fastest that is installed, and the CPU where that fails.",
                    advanced=True,
                ),
            ],
            outputs=[
                FaceAnalyserType.Output(
                    display_name="insightface",
                    tooltip="The face analyser; nodes of other packs that expect InsightFace take it too.",
                )
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, face_pack: str | None = None, **_: object) -> object:
        """A hash of the files of the pack. Where it is linked (None), it covers all that it may be."""
        names = face_pack_names() if face_pack is None else [face_pack]
        return digest([_state(name) for name in names])

    @classmethod
    def execute(cls, face_pack: str, provider: str = AUTO) -> io.NodeOutput:
        input_checks.expect(face_pack, str, "face_pack", "give the name of a face pack, such as buffalo_l")
        input_checks.choice(provider, (AUTO, CPU, *_providers()), "provider")
        analyser = load_face_analyser(face_pack, provider)
        text = f"{analyser.name}: SCRFD and ArcFace\nfor research only"
        return io.NodeOutput(analyser, ui=said(text, cls.hidden))


def load_face_analyser(face_pack: str, provider: str = AUTO) -> FaceAnalyser:
    """The face analyser of a pack. ValueError: its files or onnxruntime are missing; the message says what to get."""
    return FaceAnalyser.load(face_pack_folder(face_pack), _names(provider), face_pack)


def _names(provider: str) -> list[str]:
    """The providers that onnxruntime is to try, in this order, by its own names."""
    wanted = [provider] if provider != AUTO else [each for each in _providers() if each not in BY_NAME_ONLY]
    return [f"{each}{ENDING}" for each in dict.fromkeys((*wanted, CPU))]


def _state(name: str) -> object:
    try:
        return [file_state(str(path)) for path in sorted(face_pack_folder(name).iterdir())]
    except (OSError, ValueError):  # the node says what is wrong when it runs
        return None
