"""Write a snapshot of a library in formats of others: whole or not at all, and some thousand pictures at a time.

export_parquet(library, folder)            pictures.parquet, with the vectors; needs pyarrow
export_numpy(library, folder)              embeddings.npy, and metadata.json, of which each entry has `embedding_index`
export_lance(library, uri, table)          a LanceDB table, which `references.lance` searches; needs lancedb
"""

from .arrays import export_numpy
from .lance_table import export_lance
from .parquet import export_parquet
from .source import Exportable

__all__ = ["Exportable", "export_lance", "export_numpy", "export_parquet"]
