"""Pictures side by side, and how far the last two are apart: compare.py OUT.jpg REFERENCE WITHOUT WITH"""

import sys

import numpy as np
from PIL import Image, ImageOps

HEIGHT, GAP = 256, 8


def main(out: str, reference: str, *pictures: str) -> None:
    panels = [Image.open(path).convert("RGB") for path in pictures]
    before, after = (np.asarray(panel, dtype=np.float32) for panel in panels)
    difference = np.abs(after - before).max(axis=-1)
    print(f"{(difference > 0).mean():.0%} of the pixels, by {difference.mean():.1f} of 255 on average")
    panels.insert(0, Image.open(reference).convert("RGB"))
    panels = [ImageOps.fit(panel, (HEIGHT, HEIGHT), centering=(0.5, 0.0)) for panel in panels]
    sheet = Image.new("RGB", (len(panels) * (HEIGHT + GAP) - GAP, HEIGHT), "white")
    for place, panel in enumerate(panels):
        sheet.paste(panel, (place * (HEIGHT + GAP), 0))
    sheet.save(out, quality=88)


if __name__ == "__main__":
    main(*sys.argv[1:])
