"""Vectors of texts and pictures, alone or together, by a vision-language model: Qwen3-VL-Embedding.

with load_vision_language("Qwen3-VL-Embedding-2B") as encoder:
    embedding = encoder.embed([Input("a red bicycle"), Input(image="photo.jpg"), Input("its wheel", image="photo.jpg")])
"""
