"""Parts that Ray makes, beside the plain loop over the same plan: pictures a second, each with the same threads.

Ray takes seconds to start, and its actors do not start at the same time: what is compared is the time from the part
that ends the first quarter to the last one, by the times of the files. The plain loop takes turns with it.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from image_prompt.references.bulk import Maker, Place, Plan, begin, embed_share
from image_prompt.references.bulk.on_ray import Cluster, embed_on_ray
from image_prompt.references.embedder import Embedder

SHARD = 32
AIMS = {1: 0.9, 2: 1.7}  # {actors: of the plain loop, at least}, where as many cores are idle


def pace(place: Place, plan: Plan) -> float:
    """Pictures a second, of the last three quarters of the parts."""
    times = sorted(place.part(plan, number).stat().st_mtime_ns for number in range(plan.shards))
    times = times[(len(times) - 1) // 4 :]
    return (len(times) - 1) * SHARD / (times[-1] - times[0]) * 1e9


def measure(folder: Path, encoder: Path, pictures: Path, turns: int) -> None:
    """Print a row for each number of actors. folder: for the parts; pictures: the folder with a multiple of SHARD"""
    paces: dict[int, list[float]] = {0: [], **{actors: [] for actors in AIMS}}  # 0: without Ray
    with Embedder(encoder, "cpu") as embedder:
        maker = Maker.of(embedder, encoder)
        for turn in range(turns):
            for actors, found in paces.items():
                place = Place(pictures, folder / f"parts {turn} {actors}", folder / f"bulk library {turn} {actors}")
                plan = begin(place, maker, shard=SHARD).plan
                assert plan
                if actors:
                    embed_on_ray(place, plan, encoder, Cluster(actors))
                else:
                    embed_share(place, plan, embedder)
                found.append(pace(place, plan))
    plain = statistics.median(paces[0])
    for actors, aim in AIMS.items():
        ray = statistics.median(paces[actors])
        print(f"| {actors} | {plain:.1f} | {ray:.1f} | {ray / plain:.2f} | {aim} |", flush=True)
