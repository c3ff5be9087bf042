"""The space that vectors live in. Without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, cast

from ..tensor_files import printable


@dataclass(frozen=True)
class Space:
    """What has to be equal for two vectors to compare.

    encoder: the name of the encoder, such as "CLIP ViT-L/14"
    dimension: numbers of a vector
    weights: the fingerprint of the weights that make the last step into the space; empty where only the name is known
    feature: of the encoder, "image_embeds", or "cls" where it has no projection
    """

    encoder: str
    dimension: int
    weights: str = ""
    feature: str = "image_embeds"

    def is_same(self, other: Space) -> bool:
        named = (self.encoder, self.dimension, self.feature) == (other.encoder, other.dimension, other.feature)
        return named and bool(self.encoder) and (not self.weights or not other.weights or self.weights == other.weights)

    def check(self, other: Space, ours: str, theirs: str) -> None:
        """Refuse to compare with another space. ours, theirs: what was encoded, such as "The text" and "the pictures".

        Raises:
            ValueError: it is another space, and of which encoders both are.
        """
        if self.is_same(other):
            return
        if self.encoder == other.encoder and self.dimension == other.dimension and self.feature == other.feature:
            why = f"by two files of {self._named} with different weights"
        else:
            why = f"by {self.title}, {theirs} by {other.title}"
        raise ValueError(
            f"{ours} was encoded {why}: their numbers do not compare. Use one encoder file for both; a full CLIP file "
            "holds the encoders of pictures and of texts."
        )

    @property
    def title(self) -> str:
        feature = "" if self.feature == "image_embeds" else f", {printable(self.feature, 80)}"
        return f"{self._named} ({self.dimension} numbers{feature})"

    @property
    def _named(self) -> str:
        return printable(self.encoder, 200) or "an unknown encoder"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Space:
        """Raises a ValueError if this is no space that `as_json` made."""
        types = {"encoder": str, "dimension": int, "weights": str, "feature": str}
        found = cast("dict[str, Any]", data) if isinstance(data, dict) else dict[str, Any]()
        if any(not isinstance(found.get(name), kind) for name, kind in types.items()) or found["dimension"] < 1:
            raise ValueError(f"{str(cast(object, data))[:200]!r} does not say which encoder vectors are of.")
        return cls(**{name: found[name] for name in types})
