"""IPAdapter: the projection and the per-layer keys and values of one file.

Letters: B references, D and W feature widths, N positions, T image tokens, C context width, I inner width of a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from .families import Family
from .families.base_models import BaseModel
from .features import DIMENSIONS, POOLED, Feature, Features, Negative, Reads
from .layer_networks import LAYERS, Projecting
from .loading import Ops, StateDict
from .projections import PROJECTIONS
from .projections.identity import ShortcutPerceiver

ALL = slice(0, None)


class IPAdapter(nn.Module):
    """The image projection and the layers of one adapter file. `load_adapter` makes it.

    Layers of `torch.nn` compute in the dtype of their weights. Layers from other `ops`, which cast their weights,
    compute in the dtype of the input.

    family: its row in the table of families
    base_model: the name of the model that it is for, "SD1.5"
    layer_widths: of the block in which each layer acts, in the order of the file
    context_width: C
    token_width: that of its tokens; C unless a projection of the model is between its tokens and its layers
    lora: the LoRA in the file, as {"N.to_q.down.weight": ...} by the numbers of all attentions; empty if there is none
    """

    def __init__(
        self,
        family: Family,
        base: BaseModel,
        image_proj: StateDict,
        layers: Mapping[int, StateDict],
        *,
        name: str = "",
        ops: Ops = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        """Make it of the tensors of the projection, and of those of each layer by its number in the file."""
        super().__init__()
        self.name = name
        self.family = family
        self.base_model = base.name
        made: Any = {"ops": ops, "device": device, "dtype": dtype}
        kind = LAYERS[family.layer]
        self.ip_adapter = nn.ModuleDict(_by_number(kind.projecting.from_shapes, layers, **made))
        self.context_width = self.layers[0].context_width
        self.image_proj = PROJECTIONS[family.projection].from_shapes(image_proj, **made)
        self.token_width = self.image_proj.context_width
        sampling = _by_number(kind.sampling.from_shapes, layers, **made) if kind.sampling else {}
        self._sampling = [nn.ModuleDict(sampling)]  # in a list: it is loaded on its own, and while the model runs
        self.layer_widths = tuple(each.block_width if self._reaches else each.width for each in self._at_blocks)
        self.lora: dict[str, Tensor] = {}
        self._input_dtype_wins = ops is not nn

    @property
    def layers(self) -> tuple[Projecting, ...]:
        """The networks that make keys and values, in the order of the file."""
        return tuple(cast("Iterable[Projecting]", self.ip_adapter.values()))

    @property
    def sampling_layers(self) -> nn.ModuleDict:
        """What has to be there of each layer while the model runs, by its number in the file; empty for most adapters.

        It is no part of this module, so that it can be loaded without it.
        """
        return self._sampling[0]

    @property
    def _at_blocks(self) -> tuple[Any, ...]:
        """Of each layer, the network that reaches the block: it says how wide this is."""
        return tuple(self.sampling_layers.values()) if self._reaches else self.layers

    @property
    def _reaches(self) -> bool:
        return any(hasattr(each, "block_width") for each in self.sampling_layers.values())

    @property
    def key_widths(self) -> tuple[int, ...]:
        """I of each layer, in the order of the file: of its keys and values."""
        return tuple(layer.width for layer in self.layers)

    def heads(self, layer: int, of_block: int) -> int:
        """The number of attention heads of a layer: that of the block, unless the layer has a query of its own."""
        return getattr(list(self.sampling_layers.values())[layer], "heads", of_block) if self._reaches else of_block

    @property
    def stepwise(self) -> bool:
        """Whether its tokens follow the timestep: then `prepare` and `step` make them, and `tokens` does not."""
        return getattr(self.image_proj, "stepwise", False)

    def weights(self) -> dict[str, Tensor]:
        """All its tensors, by the names of `state_dict` and, for `sampling_layers`, of the file."""
        sampling = self.sampling_layers.state_dict(prefix="ip_adapter.")
        return {**self.state_dict(), **sampling}

    @property
    def num_tokens(self) -> int:
        """T for one reference as the file was published. That of full-face depends on its input: see `count_tokens`."""
        return self.image_proj.num_tokens

    @property
    def reads(self) -> tuple[Reads, ...]:
        """The features that `tokens` takes, in the order of `feature_widths`."""
        return self.family.reads

    @property
    def feature_widths(self) -> tuple[int, ...]:
        """D or W of each feature that `tokens` takes."""
        return self.image_proj.feature_widths

    @property
    def has_shortcut(self) -> bool:
        """Whether its tokens are an identity and the look of a face, of which `tokens` may take more or less."""
        return isinstance(self.image_proj, ShortcutPerceiver)

    @property
    def layer_sets(self) -> str:
        """The name in `LAYER_SETS` of the sets of blocks that carry style and composition."""
        return self.family.layer_sets or self.base_model

    @property
    def needs_projection(self) -> bool:
        """Whether its image encoder must have the projection that gives image_embeds."""
        return any(reads.name in POOLED for reads in self.reads)

    @property
    def feature(self) -> Feature:
        """The first feature that an image encoder gives, or else the first one. Most adapters read no other."""
        return self._encoded[0].name

    @property
    def feature_width(self) -> int:
        return self._encoded[1]

    @property
    def encoder_name(self) -> str:
        """The image encoder that gives the features it was trained with, as `ENCODERS` names it; "" if none does."""
        reads, width = self._encoded
        return reads.encoder_name(width)

    @property
    def _encoded(self) -> tuple[Reads, int]:
        """The feature that decides the encoder, and its width."""
        every = list(zip(self.reads, self.feature_widths, strict=True))
        return next(((reads, width) for reads, width in every if reads.encoder_name(width)), every[0])

    @property
    def title(self) -> str:
        """The name of the file, its family and its base model, for messages."""
        return f"{self.name or 'This adapter'} ({self.family.name}, {self.base_model})"

    @property
    def negative(self) -> Negative:
        """What its first feature is replaced by in the unconditional rows: see `Reads.negative`."""
        return self.reads[0].negative

    def check_features(self, features: Tensor | Features) -> None:
        """Refuse features that this adapter does not read.

        features: as `tokens` takes them

        Raises:
            ValueError: a feature is missing or no tensor, or its rank or width is another.
        """
        for reads, width, tensor in zip(self.reads, self.feature_widths, self._ordered(features), strict=True):
            self._check_feature(reads, width, tensor)

    def _check_feature(self, reads: Reads, width: int, features: Tensor) -> None:
        given = list(features.shape)
        if features.ndim == reads.rank and features.shape[-1] == width and features.numel():
            return
        made_for, other = reads.encoder_name(width), reads.encoder_name(features.shape[-1])
        wanted = f"{self.title} was made for {made_for}" if made_for else self.title
        reading = f"it reads {reads.name} {DIMENSIONS[reads.rank]}, {width} wide"
        if features.ndim != reads.rank or not features.numel():
            raise ValueError(f"{wanted}: {reading}, and was given a tensor of shape {given}.")
        advice = f", as {other} gives them. Load the image encoder it was made for" if other else ""
        raise ValueError(f"{wanted}: {reading}, and was given {features.shape[-1]} wide ones{advice}.")

    def _ordered(self, features: Tensor | Features) -> list[Tensor]:
        """The tensors of the features, in the order in which the projection takes them."""
        named = self._named(features)
        if missing := [reads.name for reads in self.reads if reads.name not in named]:
            raise ValueError(
                f"{self.title} reads {' and '.join(reads.name for reads in self.reads)}, and was given "
                f"{' and '.join(map(str, named)) or 'nothing'}: give {' and '.join(missing)} as well."
            )
        return [self._tensor(reads.name, named[reads.name]) for reads in self.reads]

    def _named(self, features: object) -> Mapping[object, object]:
        if isinstance(features, Tensor):
            return {self.feature: features}
        if isinstance(features, Mapping):
            return cast("Mapping[object, object]", features)
        raise ValueError(
            f"{self.title} was given a {type(features).__name__} instead of features by name: give "
            f"features.as_dict(), if an encoder gave them, or the tensor of {self.feature} alone."
        )

    def _tensor(self, name: str, feature: object) -> Tensor:
        if isinstance(feature, Tensor):
            return feature
        raise ValueError(f"{self.title} was given a {type(feature).__name__} as {name}: give a tensor.")

    def count_tokens(self, features: Tensor | Features) -> int:
        """T for each reference, given features of these shapes."""
        return self.image_proj.count_tokens(*self._ordered(features))

    def tokens(self, features: Tensor | Features, *, shortcut: float = 1.0) -> Tensor:
        """Features of B references -> image tokens (B, T, `token_width`).

        features: by name, (B, D) or (B, N, W) each; or the tensor alone if the adapter reads only one
        shortcut: for FaceID plus v2, how much of the face's look is added to its identity; other adapters have none

        Raises:
            ValueError: a feature is missing or no tensor, or its rank or width is another; or the tokens follow the
                timestep.
        """
        self._check_stepwise(False)
        self.check_features(features)
        inputs = map(self._as_input, self._ordered(features))
        return self.image_proj(*inputs, shortcut=shortcut) if self.has_shortcut else self.image_proj(*inputs)

    def key_value(
        self, tokens: Tensor, layers: Sequence[int] | None = None, embedding: Tensor | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """Image tokens (B, T, C) -> the key and the value of each layer, both (B, T, I).

        layers: numbers of the layers, counted from 0 in the order of the file; by default all of them
        embedding: of the timestep, as `step` gives it with the tokens

        Raises:
            ValueError: the tokens are no tensor, or of another rank or width; or there are no such layers.
        """
        if not isinstance(cast(object, tokens), Tensor) or tokens.ndim != 3 or tokens.shape[-1] != self.context_width:
            given = list(tokens.shape) if isinstance(cast(object, tokens), Tensor) else f"a {type(tokens).__name__}"
            raise ValueError(
                f"Expected image tokens (batch, tokens, {self.context_width}), was given {given}: give what "
                "`tokens(features)` returns."
            )
        chosen = self._chosen(layers)
        return [self.layer_key_value(self.taken(tokens, number), number, embedding) for number in chosen]

    def prepare(self, features: Tensor | Features) -> Tensor:
        """What does not depend on the timestep, (B, N, M), of the features that `tokens` would take. Raises as that."""
        self._check_stepwise(True)
        self.check_features(features)
        return cast(Any, self.image_proj).prepare(*map(self._as_input, self._ordered(features)))

    def _check_stepwise(self, wanted: bool) -> None:
        if wanted and not self.stepwise:
            raise ValueError(f"{self.title} has tokens that do not follow the timestep: call tokens(features) instead.")
        if self.stepwise and not wanted:
            raise ValueError(
                f"{self.title} has tokens that follow the timestep: instead of tokens(features), call "
                "prepare(features) of the adapter once, and step(states, timestep) with its result in every step."
            )

    def step(self, states: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """The result of `prepare` -> image tokens (B, T, C), and the embedding of the timestep (B or 1, E).

        timestep: (B,) or (1,), from 0 to 1000
        """
        return cast(Any, self.image_proj)(self._as_input(states), timestep)

    def layer_key_value(self, tokens: Tensor, layer: int, embedding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The tokens that a layer takes, (B, T, C) -> its key and its value, both (B, T, I).

        embedding: of the timestep, as `step` gives it
        """
        return self.layers[layer](self._as_input(tokens), embedding)

    def taken(self, tokens: Tensor, layer: int) -> Tensor:
        """The tokens that a layer takes of (B, T, C). Most layers take all; those of CSGO take content or style.

        Several references may be joined in one row, one after the other.
        """
        span = self.span(layer)
        if span == ALL:
            return tokens
        each = tokens.view(len(tokens), -1, self.num_tokens, tokens.shape[-1])  # (B, R, T, C)
        return each[:, :, span].flatten(1, 2)

    def span(self, layer: int) -> slice:
        """Which tokens of a reference a layer takes."""
        spans = getattr(self.image_proj, "spans", None)
        return spans[layer] if spans else ALL

    def _chosen(self, numbers: object) -> Sequence[int]:
        """The numbers of layers, if there are such; None is all of them."""
        every = range(len(self.ip_adapter))
        if numbers is None:
            return every
        try:
            return [every[number] for number in cast("Iterable[int]", numbers)]
        except (TypeError, IndexError) as error:
            raise ValueError(
                f"{self.title} has {len(every)} layers, and those to compute are given as {numbers!r:.80}: give a list "
                f"of numbers from 0 to {len(every) - 1}, or None for all of them."
            ) from error

    def _as_input(self, x: Tensor) -> Tensor:
        """The input in the dtype of the weights, unless the layers cast: `torch.nn` does not multiply two dtypes."""
        return x if self._input_dtype_wins else x.to(next(self.parameters()).dtype)


def _by_number(make: Callable[..., nn.Module], layers: Mapping[int, StateDict], **made: Any) -> dict[str, nn.Module]:
    """A network for each layer, by its number in the file. Raises the ValueErrors of `make`, with that number."""
    found: dict[str, nn.Module] = {}
    for number, sd in layers.items():
        try:
            found[str(number)] = make(sd, **made)
        except ValueError as error:
            raise ValueError(f"Layer {number}: {error}") from None
    return found
