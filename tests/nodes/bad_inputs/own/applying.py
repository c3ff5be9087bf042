"""Bad inputs of Apply IP-Adapter."""

import comfy.supported_models
import tiny
import torch

from image_prompt.nodes.applying.apply import ApplyImagePrompt as Apply
from image_prompt.nodes.controls.layer_weights import ImagePromptLayerWeights as LayerWeights
from image_prompt.nodes.loading.models import LoadImagePromptModels as LoadModels

from ..made import (
    changed,
    chroma,
    features_of,
    instantx,
    kept_for_plus,
    loud,
    named_as,
    narrow,
    of_class,
    plus,
    run_by,
    shorter_states,
    unet,
    whole_flux,
    xlabs,
)
from ..row import DICT, LIST, MODELS, NOTHING, TEXT, Bad

OF_SIGLIP = r"(?s:.*)Not found: image encoder SigLIP so400m(?s:.*)Get sigclip_vision_patch14_384\.safetensors"
OF_THE_ENCODER = "(?s:.*)Not found: an encoder"  # and which file would do

ROWS = (
    # model
    Bad(Apply, {"model": NOTHING}, rf"The model is nothing: connect a {MODELS} model\."),
    Bad(Apply, {"model": TEXT}, "The model is the text 'a word': connect a SD1.5"),
    Bad(
        Apply,
        {"model": lambda inputs: inputs["adapter"].patcher},
        "The model is an object of the type IPAdapter: connect",
    ),
    Bad(Apply, {"model": lambda _: tiny.flux2()}, "the model is Flux.2: here IP-Adapters are applied to SD1.5, SDXL"),
    Bad(Apply, {"model": chroma}, r"for SD1\.5, the model is Chroma: use one made for Chroma\."),
    Bad(Apply, {"model": chroma, "adapter": xlabs}, "for Flux, the model is Chroma: .*(?s:.*)FLUX.1-dev-IP-Adapter"),
    Bad(Apply, {"model": chroma, "adapter": instantx}, "57 layers.*, this model has 2 double and single blocks"),
    Bad(Apply, {"model": lambda _: unet("SDXL")}, r"for SD1\.5, the model is SDXL: use one made for SDXL\."),
    Bad(Apply, {"model": lambda _: tiny.flux()}, r"for SD1\.5, the model is Flux: use one made for Flux\."),
    Bad(
        Apply,
        {"model": lambda _: tiny.flux(), "adapter": lambda _: tiny.adapter(unet("SDXL"))},
        r"for SDXL, the model is Flux: use one made for Flux\.(?s:.*)Get flux-ip-adapter",
    ),
    Bad(
        Apply,
        {"model": lambda _: tiny.sd3(blocks=1), "adapter": xlabs},
        r"for Flux, the model is SD3\.5 Large: use one made for SD3\.5 Large\.(?s:.*)Not found: .* SD3\.5 Large",
    ),
    Bad(
        Apply,
        {"model": lambda _: tiny.flux(depth=8), "adapter": xlabs},
        r"19 layers \(Flux\), this model has 8 double blocks",
    ),
    Bad(
        Apply,
        {"model": lambda _: tiny.flux(hidden_size=48, num_heads=3), "adapter": xlabs},
        "made for a model of another s",
    ),
    Bad(
        Apply,
        {"model": lambda _: tiny.flux(), "adapter": xlabs, "layers": "style"},
        "For Flux there are no layers named 'style': choose all",
    ),
    *(
        Bad(
            Apply, {"model": of_class(kind)}, f"the model is {name}: .* there is none for {name}. Connect a SD1.5 model"
        )
        for kind, name in {
            comfy.supported_models.SD20: "SD2",
            comfy.supported_models.SD21UnclipH: "SD2 unCLIP",
            comfy.supported_models.SDXLRefiner: "SDXL refiner",
            comfy.supported_models.SSD1B: "SSD-1B",
            comfy.supported_models.Segmind_Vega: "Segmind Vega",
            comfy.supported_models.SVD_img2vid: "SVD",
        }.items()
    ),
    *(
        Bad(node, {"model": run_by(*stand_in)}, rf"^This model is run by {name} \({stand_in[0]}\), .* can act in it")
        for node, name, stand_in in (
            (Apply, "Nunchaku", ("ComfyFluxWrapper",)),
            (LayerWeights, "Nunchaku", ("NunchakuFluxTransformer2dModel",)),
            (LoadModels, "TensorRT", ("TrTUnet", object)),
        )
    ),
    # adapter
    Bad(Apply, {"adapter": NOTHING}, r"The adapter is nothing: connect the output of Load IP-Adapter\."),
    Bad(Apply, {"adapter": TEXT}, "The adapter is the text 'a word': connect"),
    Bad(Apply, {"adapter": DICT}, "The adapter is a dict with image_proj, ip_adapter: connect"),
    Bad(Apply, {"adapter": lambda _: tiny.adapter(unet("SDXL"))}, r"for SDXL, the model is SD1\.5: use one made for"),
    Bad(Apply, {"adapter": xlabs}, r"is an IP-Adapter for Flux, the model is SD1\.5: use one made for SD1\.5"),
    Bad(Apply, named_as("Kolors", 2816), "IP-Adapter for Kolors, the model is SDXL"),
    Bad(Apply, named_as("SDXL", 5632), "IP-Adapter for SDXL, the model is Kolors"),
    Bad(Apply, {"adapter": narrow}, "is 16 wide.*made for a model of another size"),
    Bad(
        Apply,
        {"model": lambda _: unet("SD1.5", dtype=torch.float16), "adapter": loud},
        "makes keys or values of these features that are NaN or infinite in float16: .* Run the model in bf16 or fp32",
    ),
    # features
    Bad(Apply, {"features": NOTHING}, r"The input features is nothing: connect the features of Encode Image Prompt\."),
    Bad(Apply, {"features": TEXT}, "The input features is the text 'a word': connect"),
    Bad(Apply, {"features": DICT}, "The input features is a dict with image_proj, ip_adapter: connect"),
    Bad(
        Apply, {"features": lambda _: torch.zeros(1, 24)}, r"The input features is a tensor of shape \(1, 24\): connect"
    ),
    Bad(Apply, {"features": lambda _: features_of(projection=16)}, f"24 wide.*16 wide{OF_THE_ENCODER}"),
    Bad(
        Apply,
        {"features": changed(image_embeds=lambda t: t[None])},
        f"head. Load the encoder with Load Image Enc{OF_THE_ENCODER}",
    ),
    Bad(
        Apply,
        {"model": lambda _: whole_flux(), "adapter": instantx, "features": lambda _: features_of(projection=768)},
        f"made for SigLIP so400m: .*1152 wide, and was given 768 wide ones, as CLIP ViT-L/14 gives{OF_SIGLIP}",
    ),
    Bad(
        Apply,
        {"model": lambda _: whole_flux(), "adapter": instantx, "features": changed(image_embeds=lambda _: None)},
        f"reads image_embeds, which the features do not have: .* and SigLIP so400m{OF_SIGLIP}",
    ),
    Bad(
        Apply,
        {"features": changed(image_embeds=list)},
        f"reads image_embeds, which the features do not{OF_THE_ENCODER}",
    ),
    Bad(
        Apply,
        {"features": changed(image_embeds=lambda t: t / 0)},
        "features hold NaN or infinite.*encode the image again",
    ),
    Bad(Apply, {"adapter": plus, "features": changed(negative_penultimate=lambda _: None)}, "use Encode Image Prompt"),
    Bad(
        Apply,
        {"adapter": plus, "features": changed(negative_penultimate=lambda t: t[..., :8])},
        "encode both with the same",
    ),
    Bad(
        Apply,
        {"adapter": plus, "features": changed(negative_penultimate=lambda t: t / 0)},
        "negative features hold NaN",
    ),
    Bad(
        Apply,
        {"features": kept_for_plus},
        "reads image_embeds, .* were encoded for plus only.* If they are from a file, encode the images again",
    ),
    # negative
    Bad(Apply, {"negative": DICT}, "The input negative is a dict with image_proj, ip_adapter: connect the features of"),
    Bad(Apply, {"adapter": plus, "negative": shorter_states}, f"encode both with the same encoder{OF_THE_ENCODER}"),
    # weight, start, end
    Bad(Apply, {"weight": NOTHING}, r"The weight is nothing: it must be a number between -5 and 5\."),
    Bad(Apply, {"weight": "1.0"}, r"The weight is the text '1\.0': it must be a number"),
    Bad(Apply, {"weight": float("nan")}, "The weight is nan: it must be a number between -5 and 5"),
    Bad(Apply, {"weight": float("-inf")}, "The weight is -inf: it must be a number between -5 and 5"),
    Bad(Apply, {"weight": 1e38}, r"The weight is 1e\+38: it must be a number between -5 and 5"),
    Bad(Apply, {"start": TEXT}, r"The start is the text 'a word': it must be a number between 0 and 1\."),
    Bad(Apply, {"end": NOTHING}, r"The end is nothing: it must be a number between 0 and 1\."),
    Bad(Apply, {"end": 1.5}, r"The end is 1\.5: it must be a number between 0 and 1\."),
    Bad(Apply, {"start": 0.6, "end": 0.5}, "start 0.6 lies after end 0.5: start must not be greater"),
    # mask
    Bad(Apply, {"mask": LIST}, r"The mask is a list of 2: connect a MASK output"),
    Bad(Apply, {"mask": TEXT}, "The mask is the text 'a word': connect a MASK output"),
    Bad(Apply, {"mask": torch.zeros(8, 8)}, r"The mask is a tensor of shape \(8, 8\): connect a MASK output"),
    Bad(Apply, {"mask": torch.zeros(1, 8, 8, 3)}, r"tensor of shape \(1, 8, 8, 3\): connect a MASK output"),
    Bad(Apply, {"mask": torch.zeros(0, 8, 8)}, r"tensor of shape \(0, 8, 8\): connect a MASK output"),
    Bad(Apply, {"mask": torch.full((1, 8, 8), float("nan"))}, "mask holds NaN or infinite numbers: check the node"),
    Bad(Apply, {"mask": torch.arange(256).view(1, 16, 16)}, "mask holds values from 0 to 255, .*divided by 255"),
    Bad(Apply, {"mask": torch.full((1, 8, 8), -0.02)}, r"mask holds values from -0\.02 to -0\.02, expected are 0"),
    # words
    Bad(Apply, {"batch": "each"}, r"The input batch is the text 'each': choose one of together, one per image\."),
    Bad(Apply, {"batch": NOTHING}, "The input batch is nothing: choose one of"),
    Bad(
        Apply,
        {"layers": "colour"},
        "The input layers is the text 'colour': choose one of all, style, composition, style",
    ),
    Bad(Apply, {"layers": LIST}, "The input layers is a list of 2: choose one of"),
)
