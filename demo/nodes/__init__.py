"""Demo and test nodes: a checkpoint that is built instead of loaded. Never part of the pack that users install.

ComfyUI recognises SD1.5 and SDXL files by their true width, so a model small enough for a test cannot come from a file.
"""

from comfy_api.latest import ComfyExtension, io

from . import text, unet, vae

BASE_MODELS = {"SD1.5": (unet.sd15, text.sd15), "SDXL": (unet.sdxl, text.sdxl)}


class ImagePromptDemoCheckpoint(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ImagePromptDemoCheckpoint",
            display_name="Demo Checkpoint (random weights)",
            category="image prompt/demo",
            description="A narrow SD1.5 or SDXL with seeded random weights. Its pictures mean nothing.",
            inputs=[
                io.Combo.Input("base_model", options=list(BASE_MODELS), tooltip="Which blocks the model has."),
                io.Int.Input("seed", default=0, min=0, max=2**31, tooltip="Seed of the random weights."),
            ],
            outputs=[io.Model.Output(), io.Clip.Output(), io.Vae.Output()],
        )

    @classmethod
    def execute(cls, base_model, seed) -> io.NodeOutput:
        make_unet, make_text_encoder = BASE_MODELS[base_model]
        return io.NodeOutput(make_unet(seed), make_text_encoder(seed), vae.autoencoder(seed))


class DemoExtension(ComfyExtension):
    async def get_node_list(self):
        return [ImagePromptDemoCheckpoint]


def comfy_entrypoint():
    return DemoExtension()
