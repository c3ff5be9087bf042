"""The networks of image encoders, for any size of picture, and their weights packed for a CPU."""
