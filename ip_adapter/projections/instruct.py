"""Resampler that looks at an image, at the prompt, and at an instruction that says what to take from the image.

Letters: B images, N positions, W feature width, L text positions, E text width, M resampler width, T tokens, C context
width. Source: https://arxiv.org/abs/2408.03209 and unity-research/IP-Adapter-Instruct.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..loading import Ops, StateDict, shape_of
from .resampler import LayerSizes


class InstructResampler(nn.Module):
    """Hidden states (B, N, W), of the instruction and the prompt (B, L, E) -> image tokens (B, T, C).

    Each round of three layers looks at the image, then at the prompt, then at the instruction.
    """

    def __init__(
        self,
        feature_widths: tuple[int, int, int],
        layers: LayerSizes,
        prompt_layers: LayerSizes,
        instruction_layers: LayerSizes,
        num_tokens: int,
        context_width: int,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        """feature_widths: of the image, of the instruction and of the prompt"""
        super().__init__()
        width = layers.width
        self.feature_widths = feature_widths
        self.context_width = context_width
        self.num_tokens = num_tokens
        self.latents = nn.Parameter(torch.empty(1, num_tokens, width, device=device, dtype=dtype))
        self.proj_in = ops.Linear(feature_widths[0], width, device=device, dtype=dtype)
        self.proj_new_input = ops.Linear(feature_widths[1], width, device=device, dtype=dtype)
        self.proj_prompt_input = ops.Linear(feature_widths[2], width, device=device, dtype=dtype)
        self.layers = layers.build(ops=ops, device=device, dtype=dtype)
        self.prompt_layers = prompt_layers.build(ops=ops, device=device, dtype=dtype)
        self.new_input_layers = instruction_layers.build(ops=ops, device=device, dtype=dtype)
        self.proj_out = ops.Linear(width, context_width, device=device, dtype=dtype)
        self.norm_out = ops.LayerNorm(context_width, device=device, dtype=dtype)

    @classmethod
    def from_shapes(
        cls,
        sd: StateDict,
        *,
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> InstructResampler:
        _, num_tokens, _ = shape_of(sd, "latents", 3)
        context, _ = shape_of(sd, "proj_out.weight", 2)
        image, instruction, prompt = (
            shape_of(sd, f"{name}.weight", 2)[1] for name in ("proj_in", "proj_new_input", "proj_prompt_input")
        )
        return cls(
            (image, instruction, prompt),
            LayerSizes.of(sd),
            LayerSizes.of(sd, "prompt_layers"),
            LayerSizes.of(sd, "new_input_layers"),
            num_tokens,
            context,
            ops=ops,
            device=device,
            dtype=dtype,
        )

    def count_tokens(self, hidden: Tensor, instruction: Tensor, prompt: Tensor) -> int:
        return self.num_tokens

    def forward(self, hidden: Tensor, instruction: Tensor, prompt: Tensor) -> Tensor:
        image = self.proj_in(hidden)  # (B, N, W) -> (B, N, M)
        asked, said = self.proj_new_input(instruction), self.proj_prompt_input(prompt)  # (B, L, E) -> (B, L, M)
        latents = self.latents.to(image).expand(len(image), -1, -1)  # (B, T, M)
        for looks, hears, obeys in zip(self.layers, self.prompt_layers, self.new_input_layers, strict=True):
            latents = obeys(asked, hears(said, looks(image, latents)))
        return self.norm_out(self.proj_out(latents))  # (B, T, C)
