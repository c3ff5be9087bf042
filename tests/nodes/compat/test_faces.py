"""What adapters for faces will read reaches whoever makes their features, and the faces come out of the node."""

import tiny
import torch

from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.table import NODES
from image_prompt.nodes.encoding import sources

CLASSES = {row.id: node_class(row, "") for row in NODES}


def test_a_source_of_features_gets_finder_and_settings_and_gives_faces(monkeypatch, encoder):
    model, finder, seen = tiny.unet("SD1.5"), object(), []
    plain = sources.SOURCES["image_embeds"]

    def found(given):
        seen.append(given.faces)
        given.faces.found.append(given.image[:1, :5, :5])
        return plain(given)

    monkeypatch.setitem(sources.SOURCES, "image_embeds", found)
    image = torch.rand(2, 20, 20, 3)
    given = {"model": model, "ipadapter": tiny.adapter(model), "image": image, "image_negative": image.flip(2)}
    face, batch = (CLASSES[id]() for id in ("IPAdapterFaceID", "IPAAdapterFaceIDBatch"))
    for node in (face, batch):
        _, faces = node.apply_ipadapter(
            **given, clip_vision=encoder, insightface=finder, weight=0.7, weight_faceidv2=1.4, weight_kolors=0.5
        )
        assert torch.equal(faces, image[:1, :5, :5])  # none of the negative image
    assert all(each.finder is finder for each in seen)
    assert {tuple(each.settings.items()) for each in seen} == {
        (("weight", 0.7), ("weight_faceidv2", 1.4), ("weight_kolors", 0.5))
    }


def test_adapters_that_read_no_faces_give_none(encoder):
    model = tiny.unet("SD1.5")
    given = {"ipadapter": tiny.adapter(model), "image": torch.rand(1, 20, 20, 3), "clip_vision": encoder}
    assert CLASSES["IPAdapterFaceID"]().apply_ipadapter(model, **given)[1] is None
