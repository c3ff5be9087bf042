"""How much one request may ask for. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """
    body: bytes of a request
    inputs: texts and pictures of a request
    pixels: of one picture, by what its file says of its size, before it is decoded
    all_pixels: of all pictures of a request
    characters: of one text
    marks: commas and brackets of a request, each of which may begin a value that takes many times its own bytes
    bodies: bytes of all requests that are computed, or wait for that, at once
    """

    body: int = 20 << 20
    inputs: int = 64
    pixels: int = 40_000_000
    all_pixels: int = 160_000_000
    characters: int = 200_000
    marks: int = 2_000_000
    bodies: int = 256 << 20
