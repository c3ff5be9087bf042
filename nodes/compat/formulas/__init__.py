"""The formulas of the other pack on plain values, without ComfyUI: pictures, tiles, weights of frames."""
