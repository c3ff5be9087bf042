"""Compare pictures and texts, and keep a library of reference pictures: plain torch and the standard library.

similarity = cosines(embed(encoder, "photo.jpg"), embed_text(text_encoder, "a red bicycle"))
"""
