"""References as values: how they act, and the nodes that make them and apply them."""
