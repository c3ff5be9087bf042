"""The networks that turn image features into image tokens, one kind in each file.

Each has `from_shapes(sd, ops=, device=, dtype=)`, which counts its sizes in the tensors of a file, `feature_widths`
(one for each feature that it reads), `context_width`, `num_tokens` and `count_tokens(*features)`. Its attributes are
named like the keys of a file after `containers.PROJECTION_KEYS` has renamed them, as it does for all families. Those
whose tokens follow the timestep have `stepwise`, `prepare(*features)` for all that does not, and `forward(what that
gives, timestep)`.
"""

from collections.abc import Mapping

from .anima import AnimaTokens
from .character import CharacterProjection
from .content_and_style import ContentAndStyle
from .identity import IdentityMLP, IdentityPerceiver, ShortcutPerceiver
from .instruct import InstructResampler
from .linear import LinearProjection
from .mlp import TokenMLP
from .pulid import PulidEncoder, PulidFormer
from .resampler import LayerSizes, Resampler
from .time_resampler import TimeResampler

__all__ = ["PROJECTIONS", "LayerSizes", "LinearProjection", "Projection", "Resampler", "TokenMLP"]

Projection = (
    LinearProjection
    | TokenMLP
    | Resampler
    | IdentityMLP
    | IdentityPerceiver
    | PulidEncoder
    | PulidFormer
    | InstructResampler
    | ContentAndStyle
    | TimeResampler
    | CharacterProjection
    | AnimaTokens
)

PROJECTIONS: Mapping[str, type[Projection]] = {  # `Family.projection` -> the network
    "linear": LinearProjection,
    "mlp": TokenMLP,
    "resampler": Resampler,
    "identity mlp": IdentityMLP,
    "identity perceiver": IdentityPerceiver,
    "identity perceiver with shortcut": ShortcutPerceiver,
    "pulid": PulidEncoder,
    "pulid former": PulidFormer,
    "instruct": InstructResampler,
    "content and style": ContentAndStyle,
    "time resampler": TimeResampler,
    "character": CharacterProjection,
    "anima": AnimaTokens,
}
