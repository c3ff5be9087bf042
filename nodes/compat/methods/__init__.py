"""The methods of nodes, by topic, with the names and parameters of the other pack, and the rows of these nodes."""
