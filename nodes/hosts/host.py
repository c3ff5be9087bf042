"""What every architecture says of itself, so that an IP-Adapter can be attached to it, and what their patches share."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from comfy.model_patcher import ModelPatcher

from ..joint import Joint, Part, Site


class Host(Protocol):
    """An architecture, as one row of `HOSTS`. Its name is what `Family.host` names."""

    name: str

    def base_model(self, model: ModelPatcher) -> str:
        """In the words of `ip_adapter.BASE_MODELS`; of a model that no adapter is made for, what people call it.

        Empty if the model is none of this host's.
        """
        ...

    def sites(self, model: ModelPatcher) -> list[Site]:
        """Where the layers of adapters can act."""
        ...

    def join(self, model: ModelPatcher, parts: Mapping[Site, Part]) -> None:
        """Let an image prompt act at its sites, beside what acts there already. The caller has cloned the model."""
        ...


Patch = TypeVar("Patch", bound="SitePatch")


class SitePatch:
    """Stands in one slot of `patches_replace`: what was there before, plus what image prompts add.

    ComfyUI calls `to`, `models` and `cleanup` of a patch; those of the one below must be called as well.
    """

    def __init__(self, parts: Sequence[Part], heads: int, previous: Any):
        self.joint = Joint(parts, heads)
        self.previous = previous  # ours, or a function, or an object with more than a call

    @classmethod
    def over(cls: type[Patch], previous: Any, part: Part, heads: int) -> Patch:
        """One patch does for several image prompts, which is faster than one patch over the other."""
        if isinstance(previous, cls) and previous.is_open:
            return cls([*previous.joint.parts, part], heads, previous.previous)
        return cls([part], heads, previous)

    @property
    def is_open(self) -> bool:
        """Whether another image prompt may join."""
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


def give_own_patches(_: ModelPatcher, clone: ModelPatcher) -> None:
    """A clone gets patches of its own: ComfyUI shares patch objects, so what joins one would join them all."""
    for slots in clone.model_options["transformer_options"].get("patches_replace", {}).values():
        for slot, patch in slots.items():
            if isinstance(patch, SitePatch):
                slots[slot] = patch.own_copy()
