"""The tables of our own nodes, by what the nodes do."""

from . import (
    applying,
    characters,
    combining,
    embeddings,
    encoding,
    faces,
    folder,
    influence,
    instructions,
    libraries,
    loading,
    references,
    saving,
    similarity,
    weights,
)

TABLES = (
    applying,
    characters,
    combining,
    embeddings,
    encoding,
    faces,
    folder,
    influence,
    instructions,
    libraries,
    loading,
    references,
    saving,
    similarity,
    weights,
)
ROWS = tuple(row for table in TABLES for row in table.ROWS)
