from pathlib import Path

import insightface
import numpy as np
import pytest
from PIL import Image

from image_prompt.demo import face_packs


@pytest.fixture(scope="session")
def pack(tmp_path_factory):
    """The folder of a face pack."""
    return face_packs.write_pack(tmp_path_factory.mktemp("packs"))


@pytest.fixture(scope="session")
def photo():
    """A photo with faces, (H, W, 3) of 8 bits, that comes with insightface."""
    path = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
    return np.asarray(Image.open(path).convert("RGB"))
