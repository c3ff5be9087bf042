"""The tables of the nodes that other packs have as well, by the packs."""
