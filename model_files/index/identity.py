"""What a file is. `identification`, which finds it out, needs torch and is imported for the first file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from ...tensor_files import Header
from ..catalogue import word_of


@dataclass(frozen=True)
class Identity:
    """What a file is, by its tensors.

    kind: "adapter", "encoder", "lora", "face adapter" or "other"
    family: the id of the adapter's family or of the kind of file; for an encoder, the name of its preset
    base_model: "SD1.5", "SDXL", "Kolors", "Flux", or "" if it has none
    encoder: the encoder that an adapter needs, or that this is, as `ip_adapter.ENCODERS` names it
    projection: whether an encoder can give image_embeds, or an adapter reads them
    problem: why this pack cannot use it, and what to do; "" if it can
    also: other names by which an adapter may ask for an encoder that no table lists
    """

    kind: str
    family: str
    base_model: str = ""
    encoder: str = ""
    projection: bool = True
    problem: str = ""
    also: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Plain data without the problem, for `--json` and the HTTP routes."""
        family = self.family if self.kind == "encoder" and self.encoder else word_of(self.family)
        return asdict(replace(self, family=family, problem=""))


def identify(header: Header, name: str = "", path: str = "") -> Identity:
    """What a file is, by its header.

    name: with its folders in a model folder, a hint where shapes do not decide which encoder a file holds
    path: by default the name, a hint where shapes do not decide which family an adapter is of, as for `load_adapter`

    Raises:
        ImportError: torch cannot be imported.
    """
    try:
        from .identification import identify
    except OSError as error:  # a library that torch needs is missing
        raise ImportError(f"torch cannot be imported: {error}") from error
    return identify(header, name, path)
