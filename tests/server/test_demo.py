"""`python dev.py demo`, on the server that is running already."""

import sys

from PIL import Image

from image_prompt.demo import demo


def test_the_demo_writes_its_pictures_and_says_what_happened(server, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(demo, "OUTPUT", tmp_path)
    demo.run_demo(server, sys.executable)
    said = capsys.readouterr().out
    assert str(tmp_path / "demo.png") in said
    assert "256 x 256" in said and "demo-ip-adapter-plus_sd15.safetensors" in said
    assert "small, random and seeded" in said and "means nothing" in said
    assert "0% of the pixels, by 0.0" not in said
    assert Image.open(tmp_path / "demo.png").size == (256, 256)
    assert Image.open(tmp_path / "comparison.jpg").size == (784, 256)
