"""Nodes for the tests of the server: small random Flux models, prompts for them, and pictures of their latents."""

import comfy.model_patcher
import comfy.supported_models
import torch

FLUX = {
    "image_model": "flux",
    "in_channels": 16,
    "out_channels": 16,
    "patch_size": 2,
    "context_in_dim": 4096,
    "vec_in_dim": 768,
    "hidden_size": 32,
    "num_heads": 2,
    "axes_dim": [4, 6, 6],
    "mlp_ratio": 4.0,
    "depth": 19,
    "depth_single_blocks": 38,
    "theta": 10000,
    "qkv_bias": True,
    "guidance_embed": True,
    "txt_ids_dims": [],
}
WIDE = {"hidden_size": 128, "num_heads": 1, "axes_dim": [16, 56, 56], "mlp_ratio": 1.0}  # a head as wide as usual


class TinyFlux:
    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "make", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"wide": ("BOOLEAN", {"default": False})}}

    def make(self, wide):
        config, cpu = comfy.supported_models.Flux(FLUX | (WIDE if wide else {})), torch.device("cpu")
        config.set_inference_dtype(torch.float32, None)
        model = config.get_model({}, "", device=cpu)
        generator = torch.Generator().manual_seed(0)
        for name, each in model.diffusion_model.named_parameters():
            wide = each.ndim > 1
            value = torch.randn(each.shape, generator=generator) * 0.7 / each[0].numel() ** 0.5 if wide else None
            each.data = torch.full(each.shape, float(name.endswith("weight"))) if value is None else value
        return (comfy.model_patcher.CoreModelPatcher(model.eval(), load_device=cpu, offload_device=cpu),)


class TinyText:
    RETURN_TYPES, FUNCTION, CATEGORY = ("CONDITIONING",), "make", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"seed": ("INT", {"default": 0})}, "optional": {"pooled": ("INT", {"default": 768})}}

    def make(self, seed, pooled=768):
        generator = torch.Generator().manual_seed(seed)
        text, pooled = (torch.randn(shape, generator=generator) * 0.2 for shape in ((1, 8, 4096), (1, pooled)))
        return ([[text, {"pooled_output": pooled}]],)


class Deepened:
    """A small SD3 with as many joint blocks as SD3.5 Large has: those of a file are as many as its width allows."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "make", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def make(self, model):
        transformer = model.model.diffusion_model
        *first, last = transformer.joint_blocks  # the last one has no text after its attention
        transformer.joint_blocks = torch.nn.ModuleList([*(first[0] for _ in range(37)), last])
        return (model,)


class LatentPicture:
    """The first channels of a latent as colours, so that pictures are equal only if latents are nearly so."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE",), "show", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"samples": ("LATENT",)}}

    def show(self, samples):
        return ((samples["samples"][:, :3].movedim(1, -1) / 8 + 0.5).clamp(0, 1),)


NODE_CLASS_MAPPINGS = {each.__name__: each for each in (TinyFlux, TinyText, Deepened, LatentPicture)}
