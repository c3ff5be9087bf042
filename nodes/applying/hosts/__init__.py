"""The architectures to which IP-Adapters are attached, one in each file."""

from comfy.model_patcher import ModelPatcher

from .anima import Anima
from .flux import Flux
from .host import Host, SitePatch, give_own_patches
from .sd3 import SD3
from .unet import UNet
from .wrappers import refuse_wrapped

__all__ = ["HOSTS", "Host", "SitePatch", "base_model", "give_own_patches", "host_of"]

HOSTS: tuple[Host, ...] = (UNet(), Flux(), SD3(), Anima())


def host_of(model: ModelPatcher) -> Host | None:
    """The host of a model's architecture, or None if there is none for it.

    Raises:
        ValueError: the model is run outside ComfyUI, by Nunchaku or the like.
    """
    refuse_wrapped(model)
    return next((host for host in HOSTS if host.base_model(model)), None)


def base_model(model: ModelPatcher) -> str:
    """The name of a model as in `ip_adapter.BASE_MODELS`; for others what people call it, or its class in ComfyUI."""
    host = host_of(model)
    return host.base_model(model) if host else type(model.model.model_config).__name__
