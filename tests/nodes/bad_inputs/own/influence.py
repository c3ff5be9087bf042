"""Bad inputs of the nodes that record influence and draw its map."""

import tiny
import torch

from image_prompt.nodes.influence.influence import Choice, Influence
from image_prompt.nodes.influence.influence_map import InfluenceMap as Map
from image_prompt.nodes.influence.record_influence import RecordInfluence as Record

from ..row import DICT, NOTHING, TEXT, Bad

ROWS = (
    # Record Influence
    Bad(Record, {"model": TEXT}, "The model is the text 'a word': connect a SD1.5"),
    Bad(
        Record, {"model": lambda _: tiny.flux2()}, "The model is Flux.2: image prompts act in SD1.5, .* models. Connect"
    ),
    Bad(Record, {"start": 0.6, "end": 0.5}, "start 0.6 lies after end 0.5: start must not be greater"),
    Bad(
        Record, {"start": 0.5, "end": 0.5}, "start and end are both 0.5, so that nothing is recorded: make end greater"
    ),
    Bad(Record, {"end": TEXT}, "The end is the text 'a word': it must be a number between 0 and 1"),
    Bad(
        Record,
        {"layers": "colour"},
        "The input layers is the text 'colour': choose one of all, style, composition, style",
    ),
    Bad(
        Record,
        {"model": lambda _: tiny.flux(), "layers": "style"},
        "For Flux there are no layers named 'style': choose",
    ),
    Bad(Record, {"every": 0}, "The input every is 0: it must be a number between 1 and 1000"),
    Bad(Record, {"every": 1.5}, "The input every is 1.5: it must be a whole number"),
    # Image Prompt Influence Map
    Bad(Map, {"influence": NOTHING}, "The influence is nothing: connect the output of Record Influence"),
    Bad(
        Map,
        {"influence": lambda _: Influence(Choice(frozenset()))},
        "Nothing was recorded: connect the model of Record",
    ),
    Bad(Map, {"latent": NOTHING}, "The latent is nothing: connect the LATENT output of a sampler"),
    Bad(Map, {"latent": DICT}, "The latent is a dict with image_proj, ip_adapter: connect the LATENT output"),
    Bad(
        Map,
        {"latent": {"samples": torch.zeros(1, 4, 8)}},
        r"latent is a tensor of shape \(1, 4, 8\): connect the LATENT",
    ),
    Bad(
        Map, {"latent": {"samples": torch.zeros(1, 4, 8, 8)}}, "The latent, 1 picture of 8x8, is not what one of the la"
    ),
    Bad(Map, {"image": torch.zeros(8, 8, 3)}, r"The image is a tensor of shape \(8, 8, 3\): connect an IMAGE output"),
    Bad(
        Map, {"image": torch.zeros(3, 8, 8, 3)}, "There are 3 images and 2 pictures in the latent: connect the image th"
    ),
    Bad(
        Map, {"image": torch.zeros(0, 8, 8, 3)}, "There are 0 images and 2 pictures in the latent: connect the image th"
    ),
    Bad(
        Map, {"scale": "percent"}, "The input scale is the text 'percent': choose one of share of the maximum, share of"
    ),
    Bad(Map, {"opacity": 2.0}, r"The opacity is 2\.0: it must be a number between 0 and 1"),
)
