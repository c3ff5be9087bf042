"""What the panels beside the graph show: the model files that it needs, and saved features."""
