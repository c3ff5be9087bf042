"""Make parts in a process of its own, which holds one encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..embedders import open_embedder
from .maker import Maker
from .place import Place
from .shard import embed_shard


@dataclass(frozen=True)
class Work:
    """What a worker has to know; it reads the plan itself. Paths are the same on all machines.

    encoder: its file, or its folder
    device: as `references.embedders.open_embedder` takes it
    threads: that compute with it on the CPU
    """

    source: str
    parts: str
    encoder: str
    device: str
    threads: int


class Worker:
    """Raises a ValueError if the encoder is not that of the plan, or there is no plan."""

    def __init__(self, work: Work) -> None:
        import torch

        torch.set_num_threads(work.threads)
        self.place = Place(Path(work.source), Path(work.parts))
        plan = self.place.read_plan()
        if plan is None:
            raise ValueError(
                f"There is no plan in {work.parts} on a machine of the cluster: it has to see that folder."
            )
        self.plan = plan
        maker = plan.maker
        self.embedder = open_embedder(work.encoder, work.device, space=maker.space, max_pixels=maker.max_pixels)
        if why := maker.difference(Maker.of(self.embedder, Path(work.encoder))):
            raise ValueError(
                f"The plan in {work.parts} does not fit {work.encoder} on a machine of the cluster: {why}."
            )

    def embed(self, number: int) -> int:
        """Make the part of a shard if it is not there, and return how many files the shard has."""
        if self.place.has_plan and not self.place.part(self.plan, number).exists():
            data = embed_shard(self.plan, number, self.place.source, self.embedder)
            self.place.write_part(self.plan, number, data)
        return len(self.plan.of(number))
