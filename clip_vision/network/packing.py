"""Linear weights in the order that oneDNN multiplies fastest, for encoders on the CPU.

F.linear hands fp32 to MKL, which is slow on some processors, and reorders bf16 weights at every call. The operations
used here are torch's own but private (torch._inductor lives on them): where they are absent, nothing is packed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

OPERATIONS = ("_reorder_linear_weight", "_linear_pointwise")


class PackedLinear(nn.Module):
    """Stands in for a Linear on the CPU: x (..., in) -> (..., out). `state_dict` gives and takes the plain weight."""

    def __init__(self, plain: nn.Linear):
        super().__init__()
        self.plain = (plain,)  # in a tuple it is no submodule, so the keys stay those of the Linear
        self.bias = plain.bias
        if not plain.weight.is_meta:
            self.pack(plain.weight)
        plain.weight = nn.Parameter(plain.weight.new_empty(0), requires_grad=False)  # held once, not twice
        # The public methods for these came with torch 2.5
        self._register_state_dict_hook(_save_weight)  # pyright: ignore[reportUnknownMemberType] untyped in torch
        self._register_load_state_dict_pre_hook(_load_weight, with_module=True)  # pyright: ignore[reportUnknownMemberType]

    def pack(self, weight: Tensor) -> None:
        self.dtype = weight.dtype
        self.packed = weight if weight.is_mkldnn else _packed(weight)

    def unpacked(self) -> nn.Linear:
        """The Linear that was packed, with the same bits."""
        plain = self.plain[0]
        plain.weight = nn.Parameter(self.packed.to_dense(), requires_grad=False)
        plain.bias = self.bias
        return plain

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")

    def __getstate__(self) -> dict[str, Any]:
        """For copies: packed weights cannot be copied, so they travel as plain ones."""
        return {**vars(self), "packed": self.packed.to_dense()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # pyright: ignore[reportUnknownMemberType] untyped in torch
        self.pack(state["packed"])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        moved = fn(torch.empty(0, dtype=self.dtype))
        if moved.device.type != "cpu" or moved.dtype != self.dtype:
            raise RuntimeError(f"Packed weights stay on the CPU in {self.dtype}: call unpack_weights(encoder) first.")
        return super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType] torch leaves fn untyped


def _save_weight(module: nn.Module, state_dict: dict[str, Any], prefix: str, _metadata: Any) -> None:
    assert isinstance(module, PackedLinear)
    state_dict[f"{prefix}weight"] = module.packed.to_dense()


def _load_weight(
    module: nn.Module,
    state_dict: dict[str, Any],
    prefix: str,
    _metadata: Any,
    strict: bool,
    missing_keys: list[str],
    _unexpected: list[str],
    _errors: list[str],
) -> None:
    assert isinstance(module, PackedLinear)
    weight = state_dict.pop(f"{prefix}weight", None)
    if weight is not None:
        module.pack(weight if weight.is_mkldnn else weight.to(module.dtype))
    elif strict:
        missing_keys.append(f"{prefix}weight")


def pack_weights(encoder: nn.Module) -> int:
    """Pack every fp32 or bf16 Linear that is on the CPU, in place; returns how many. Results differ by rounding only.

    Returns 0 where torch lacks oneDNN or these operations, and leaves bf16 alone where the processor lacks AVX-512. A
    second call does nothing; `unpack_weights` undoes the first.
    """
    dtypes = _dtypes()
    return _replace(encoder, lambda module: PackedLinear(module) if _packable(module, dtypes) else None)


def expect_packed(encoder: nn.Module, dtype: torch.dtype | None) -> Callable[[str, Tensor], Tensor]:
    """Let an encoder without weights, on the meta device, load a state dict whose Linear weights are packed.

    Returns what packs the weight of a key and leaves others as they are; all of them if weights of `dtype` cannot be
    packed here, or it is None. A weight that is packed as soon as it is read gives its memory to the next one.
    """
    names = set[str]()
    if dtype in _dtypes():
        modules = cast("Iterable[tuple[str, nn.Module]]", encoder.named_modules())
        names = {f"{name}.weight" for name, module in modules if isinstance(module, nn.Linear)}
        _replace(encoder, lambda module: PackedLinear(module) if isinstance(module, nn.Linear) else None)
    return lambda name, weight: _packed(weight) if name in names else weight


def _packed(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())


def unpack_weights(encoder: nn.Module) -> int:
    """Put the plain Linear layers back, with the weights they had; returns how many."""
    return _replace(encoder, lambda module: module.unpacked() if isinstance(module, PackedLinear) else None)


def _dtypes() -> list[torch.dtype]:
    """The dtypes in which weights are packed here."""
    if not _available():
        return []
    return [torch.float32, *([torch.bfloat16] if bf16_packs() else [])]


def _available() -> bool:
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in OPERATIONS)


def bf16_packs() -> bool:
    """Whether oneDNN has bf16 kernels for this processor; asked for others, packing fails."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is not None and bool(supported())


def _packable(module: nn.Module, dtypes: Collection[torch.dtype]) -> bool:
    return isinstance(module, nn.Linear) and module.weight.device.type == "cpu" and module.weight.dtype in dtypes


def _replace(root: nn.Module, replacement: Callable[[Any], nn.Module | None]) -> int:
    count = 0
    for parent in list(root.modules()):
        for name, child in list(parent.named_children()):
            if (new := replacement(child)) is not None:
                setattr(parent, name, new)
                count += 1
    return count
