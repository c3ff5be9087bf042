"""Libraries of reference pictures: the nodes that search and fill them, and what the panel in the browser is told."""
