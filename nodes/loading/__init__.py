"""Model files to encoders and adapters: finding, loading, and the nodes."""
