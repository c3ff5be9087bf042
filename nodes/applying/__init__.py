"""How image prompts act on a model: the values that say it, the patches, and the nodes."""
