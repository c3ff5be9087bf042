"""Embed many pictures on several machines with one shared folder, and collect their vectors into a library.

place = Place(source="photos", parts="bulk/holiday", library="libraries/holiday")
begun = begin(place, Maker.of(embedder, Path("clip.safetensors")))               # the plan, of whoever is first
if begun.plan:
    embed_share(place, begun.plan, embedder, share=(1, 3))                       # on each of three machines
    done = collect(place, begun.plan)                                            # who finds all parts there

plan.json               which encoder makes the vectors, and which pictures are to be embedded, in their order
part-PLAN-00007.safetensors   the vectors and the facts of one shard of the plan

A shard depends on nothing but the plan and the pictures: made twice it has the same bytes, so machines may race. The
library that comes of it is, to the byte, the one that one machine makes of the same plan; and the one that
`references.filling.fill` makes, where its groups are the same: a shard has a multiple of `groups.BATCH` files, and no
group ends early for having `groups.PIXELS` pixels.
"""

from .begin import Begun, begin
from .collecting import Collected, collect
from .maker import Maker
from .place import Place
from .plan import SHARD, Plan
from .share import embed_share

__all__ = [
    "Begun",
    "Collected",
    "Maker",
    "Place",
    "Plan",
    "SHARD",
    "begin",
    "collect",
    "embed_share",
]
