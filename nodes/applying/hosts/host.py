"""The interface of an architecture to which IP-Adapters are attached, and what the patches of all of them share."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from comfy.model_patcher import ModelPatcher

from ..image_prompt import Part, Site
from ..joint import Joint
from ..masks import Grid


class Host(Protocol):
    """An architecture, one row of `HOSTS`. `Family.host` gives its name."""

    name: str

    def base_model(self, model: ModelPatcher) -> str:
        """The name of a model as in `ip_adapter.BASE_MODELS`; for models without adapters, what people call them.

        It is empty if the model is of another architecture.
        """
        ...

    def sites(self, model: ModelPatcher) -> list[Site]:
        """The places in the model where layers of adapters can act."""
        ...

    def paths(self, model: ModelPatcher) -> Sequence[str]:
        """The paths of the modules that the LoRAs of adapters number, in the order of files; none if they have none."""
        ...

    def join(self, model: ModelPatcher, parts: Mapping[Site, Sequence[Part]], *, carries: bool = False) -> None:
        """Add parts of image prompts at sites, where other patches stay. It changes `model`, so pass a clone.

        carries: whether the prompts that conditions bring along act there too
        """
        ...


Patch = TypeVar("Patch", bound="SitePatch")


class SitePatch:
    """A patch in one slot of `patches_replace`: it calls what was there before, and adds what image prompts add.

    ComfyUI calls `to`, `models` and `cleanup` of a patch, which have to call those of the previous patch.
    """

    def __init__(self, joint: Joint, previous: Any):
        self.joint = joint
        self.previous = previous  # None, a patch of this kind, a function, or an object that may have `to` and so on

    @classmethod
    def over(cls, previous: Any, site: Site, parts: Sequence[Part], carries: bool) -> "SitePatch":
        """A patch over the previous one, or together with it: one patch for several image prompts is faster.

        A patch for another place in the block stays above: all prompts of one place read the same, in any order.
        """
        below = previous
        if isinstance(previous, SitePatch) and previous.joint.site != site:
            return previous._with(cls.over(previous.previous, site, parts, carries))
        if isinstance(previous, cls) and previous.is_open:
            parts, below = [*previous.joint.parts, *parts], previous.previous
            carries = carries or previous.joint.carries
        return cls(Joint(site, parts, carries=carries and not carried_below(below, site)), below)

    @property
    def is_open(self) -> bool:
        """Whether another image prompt may be added to this patch."""
        return True

    def to(self: Patch, device_or_dtype: Any) -> Patch:
        below = self.previous.to(device_or_dtype) if hasattr(self.previous, "to") else self.previous
        return self if below is self.previous else self._with(below)

    def models(self) -> list[ModelPatcher]:
        below = self.previous.models() if hasattr(self.previous, "models") else []
        return [*self.joint.models(), *below]

    def cleanup(self) -> None:
        if hasattr(self.previous, "cleanup"):
            self.previous.cleanup()

    def own_copy(self: Patch) -> Patch:
        below = self.previous
        return self._with(below.own_copy() if isinstance(below, SitePatch) else below)

    def _with(self: Patch, previous: Any) -> Patch:
        patch = copy.copy(self)
        patch.previous = previous
        return patch


def patch_grid(latent: Sequence[int], side: int, before: int = 0) -> Grid:
    """The grid of the tokens of patches on a latent of this shape, whose last row and column the model completes.

    side: of a patch, in latent pixels
    before: as `Grid`
    """
    height, width = latent[-2:]
    padding = -height % side, -width % side
    return Grid((height + padding[0]) // side, (width + padding[1]) // side, padding, before)


def carried_below(patch: Any, site: Site) -> bool:
    """Whether a patch, or one below it, acts for conditions at a site already: what they carry must act once."""
    if not isinstance(patch, SitePatch):
        return False
    return patch.joint.carries and patch.joint.site == site or carried_below(patch.previous, site)


def give_own_patches(_: ModelPatcher, clone: ModelPatcher) -> None:
    """Give a clone its own copies of patches: ComfyUI shares them, so a prompt added to one clone would be in all."""
    for slots in clone.model_options["transformer_options"].get("patches_replace", {}).values():
        for slot, patch in slots.items():
            if isinstance(patch, SitePatch):
                slots[slot] = patch.own_copy()
