"""Pictures to features: the encoder in ComfyUI's memory, what the sockets carry, and the nodes."""
