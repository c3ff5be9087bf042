"""The LoRA that was trained together with an adapter, where it is in a file of its own and not inside the adapter's."""

import logging
from dataclasses import replace

from torch import Tensor

from ...ip_adapter import IPAdapter
from ...ip_adapter.lora import check_lora, from_companion
from ...model_files.matching import Need, explain
from ...tensor_files.weights import named_weights
from ..folders import LORA_FOLDER, model_path
from .adapter import ImagePromptAdapter
from .model_library import companion_need, indexed, look_for


def add_companion(adapter: ImagePromptAdapter, folder: str, name: str) -> None:
    """Give an adapter its LoRA, if one was trained together with it, from the folder of LoRAs if its file has none.

    Without one it acts as well, only weaker: that is logged, with the file to get.

    folder, name: of the adapter's file, as it is listed
    """
    module = adapter.module
    if not module.family.has_lora or module.lora:
        return
    need = Need("adapter", family=module.family.id, base_model=module.base_model)
    companion = companion_need(replace(look_for(need, patience=0), found=indexed(folder, name)))
    if companion is None:
        return
    resolution = look_for(companion)
    if resolution.found is None:
        given = f"{adapter.name} was trained together with a LoRA, and acts more weakly without: its file holds none."
        logging.getLogger(__name__).warning("%s", explain(resolution, given))
        return
    module.lora = _read(resolution.found.file.name, module)


def _read(name: str, adapter: IPAdapter) -> dict[str, Tensor]:
    with named_weights(model_path(LORA_FOLDER, name), name) as weights:
        lora = from_companion({key: weights.read(key) for key in weights.tensors})
        check_lora(lora, adapter.layer_widths, adapter.context_width)
        return lora
