"""What the nodes of other packs have in common: their adapters, faces, and the inputs for them."""

import logging
from typing import Any

from ...encoding.faces.faces_in_pictures import Looked
from ...loading.adapter import ImagePromptAdapter
from ...loading.wires import as_adapter
from ..faces import Faces, load_faces
from ..inputs import choice

ANTELOPE = "antelopev2"
PROVIDERS = ("CPU", "CUDA", "ROCM", "CoreML")
PROVIDER = choice("provider", *PROVIDERS)
FACE_ANALYSIS = "FACEANALYSIS"


def analyser(provider: Any) -> Any:
    """What finds and recognises faces, with the models that both packs need."""
    return load_faces(provider, ANTELOPE, PROVIDERS)


def adapter_of(value: Any, name: str, family: str, loader: str) -> ImagePromptAdapter:
    """The adapter that a wire carries.

    family: beginning of the id of its family
    loader: what people call the node that loads it

    Raises:
        ValueError: it carries none, or one of another family.
    """
    advice = f"connect the output of {loader}"
    return of_family(as_adapter(value, name, advice), f"The {name}", family, advice)


def of_family(adapter: ImagePromptAdapter, name: str, family: str, advice: str) -> ImagePromptAdapter:
    """The adapter, if it is of a family whose id begins so. ValueError: it is of another one.

    name, advice: what to call it, and what to do if it is another one, for the message
    """
    adapter = adapter.as_family(family)
    if not adapter.module.family.id.startswith(family):
        module = adapter.module
        what = f"an IP-Adapter ({module.family.name}) for {module.base_model}"
        raise ValueError(f"{name} is {what}, which is of another kind: {advice}.")
    return adapter


def look(faces: Faces, image: Any, name: str) -> list[Looked]:
    """The pictures that show a face. The log says which do not. name: of the input, for messages"""
    looked = faces.look(image, name)
    missing = [str(number) for number, each in enumerate(looked, 1) if not each.chosen]
    if missing and len(missing) < len(looked):
        where = f"picture {', '.join(missing)} of {len(looked)} in the {name}"
        logging.getLogger(__name__).warning("%s It is left out.", faces.without_face(where))
    return [each for each in looked if each.chosen]
