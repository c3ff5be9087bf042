"""The blocks of Flux.1 and Chroma in plain torch, with two places at which a test adds what an adapter adds.

Letters: B rows, L tokens, H heads, D width of a head, I = H * D.
"""

from collections.abc import Callable
from typing import Any

import comfy.ldm.flux.layers
import torch
from comfy.ldm.flux.math import apply_rope
from torch import Tensor
from torch.nn import functional as F

# Of the kind of a block, its number, the query with and without its norm (B, H, L, D), and the transformer options.
# In a single block the query is that of all tokens, in a double block that of the picture's.
InAttention = Callable[[str, int, Tensor, Tensor, Any], Tensor | float]
# Of the kind of a block, its number, the picture's tokens after it (B, L, I) and the transformer options.
AfterBlock = Callable[[str, int, Tensor, Any], Tensor | float]


def nothing(*_: Any) -> float:
    return 0.0


def write_out(monkeypatch: Any, attention: InAttention = nothing, after: AfterBlock = nothing) -> None:
    """Let ComfyUI's models run these blocks instead of its own."""

    def double(self, img, txt, vec, pe, attn_mask=None, transformer_options={}, **_):  # noqa: B006
        index, text = transformer_options["block_index"], txt.shape[1]
        mods = (self.img_mod(vec), self.txt_mod(vec)) if self.modulation else vec
        picture = projected(img, mods[0][0], self.img_attn.qkv, self.img_attn.norm, self.num_heads)
        words = projected(txt, mods[1][0], self.txt_attn.qkv, self.txt_attn.norm, self.num_heads)
        out = attend(*(torch.cat(pair, 2) for pair in zip(words[:3], picture[:3], strict=True)), pe)
        found = out[:, text:] + attention("double", index, picture[0], picture[3], transformer_options)
        img = finished(img, found, mods[0], self.img_attn.proj, self.img_mlp)
        txt = finished(txt, out[:, :text], mods[1], self.txt_attn.proj, self.txt_mlp)
        return img + after("double", index, img, transformer_options), txt

    def single(self, x, vec, pe, attn_mask=None, transformer_options={}, **_):  # noqa: B006
        index, (text, _end) = transformer_options["block_index"], transformer_options["img_slice"]
        mod = self.modulation(vec)[0] if self.modulation else vec
        inner = 3 * self.hidden_size
        q, k, v, raw = projected(x, mod, self.linear1, self.norm, self.num_heads, inner)
        mlp = F.gelu(self.linear1(shifted(x, mod))[..., inner:], approximate="tanh")
        out = attend(q, k, v, pe) + attention("single", index, q, raw, transformer_options)
        x = x + mod.gate * self.linear2(torch.cat((out, mlp), -1))
        picture = x[:, text:]
        return torch.cat((x[:, :text], picture + after("single", index, picture, transformer_options)), 1)

    monkeypatch.setattr(comfy.ldm.flux.layers.DoubleStreamBlock, "forward", double)
    monkeypatch.setattr(comfy.ldm.flux.layers.SingleStreamBlock, "forward", single)


def shifted(x: Tensor, mod: Any) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + mod.scale) + mod.shift


def projected(x: Tensor, mod: Any, linear: Any, norm: Any, heads: int, inner: int | None = None) -> tuple[Tensor, ...]:
    """The query and the key, both normed, the value, and the query before its norm: (B, H, L, D) each."""
    q, k, v = (split(part, heads) for part in linear(shifted(x, mod))[..., :inner].chunk(3, -1))
    return rms(q) * norm.query_norm.weight, rms(k) * norm.key_norm.weight, v, q


def split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def rms(x: Tensor, eps: float = 1e-6) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()


def attend(q: Tensor, k: Tensor, v: Tensor, pe: Tensor | None = None) -> Tensor:
    """(B, H, L, D) each -> (B, L, I)."""
    q, k = (q, k) if pe is None else apply_rope(q, k, pe)
    return ((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)


def finished(x: Tensor, attended: Tensor, mods: Any, proj: Any, mlp: Any) -> Tensor:
    x = x + mods[0].gate * proj(attended)
    return x + mods[1].gate * mlp(shifted(x, mods[1]))


def rows(options: Any, cond: Tensor, uncond: Tensor | float = 0.0) -> Tensor:
    """What belongs to the positive row of a call for one picture, and to the negative one, in the order of its rows."""
    return torch.cat([cond if each == 0 else torch.zeros_like(cond) + uncond for each in options["cond_or_uncond"]])
