"""Demo and test nodes: checkpoints small enough for a demo and a test. Never part of the pack that users install.

ComfyUI recognises SD1.5 and SDXL files by their true width, so its own loader cannot load them.
"""

from comfy_api.latest import ComfyExtension, io

from . import checkpoint, text, unet, vae

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


class ImagePromptDemoControlNet(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ImagePromptDemoControlNet",
            display_name="Demo ControlNet (random weights)",
            category="image prompt/demo",
            description="A ControlNet for the narrow SDXL of Demo Checkpoint, with seeded random weights.",
            inputs=[io.Int.Input("seed", default=0, min=0, max=2**31, tooltip="Seed of the random weights.")],
            outputs=[io.ControlNet.Output()],
        )

    @classmethod
    def execute(cls, seed) -> io.NodeOutput:
        return io.NodeOutput(unet.sdxl_controlnet(seed))


class ImagePromptDemoWorld(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ImagePromptDemoWorld",
            display_name="Load Demo World",
            category="image prompt/demo",
            description="A narrow SD1.5, trained on 64x64 pictures of coloured shapes. Prompts are captions like 'a "
            "large red star with dots at the left on grey'.",
            outputs=[io.Model.Output(), io.Clip.Output(), io.Vae.Output()],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(*checkpoint.load())


class DemoExtension(ComfyExtension):
    async def get_node_list(self):
        return [ImagePromptDemoCheckpoint, ImagePromptDemoControlNet, ImagePromptDemoWorld]


def comfy_entrypoint():
    return DemoExtension()
