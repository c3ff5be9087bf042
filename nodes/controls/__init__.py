"""How a reference acts, as values: weights of layers and steps, masks, and the nodes that make them."""
