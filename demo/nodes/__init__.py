"""Demo and test nodes: checkpoints small enough for a demo and a test. Never part of the pack that users install.

ComfyUI recognises SD1.5 and SDXL files by their true width, so its own loader cannot load them.
"""

from comfy_api.latest import ComfyExtension, io

from . import checkpoint, dits, text, unet, vae

BASE_MODELS = {  # model, text encoder, channels of latents
    "SD1.5": (unet.sd15, text.sd15, 4),
    "SDXL": (unet.sdxl, text.sdxl, 4),
    "SD3.5 Large": (dits.sd35, text.sd35, dits.CHANNELS),
}
TEXTS = {"Flux": text.flux, "Anima": text.anima, "Qwen3-VL": text.qwen3_vl}
SEED = io.Int.Input("seed", default=0, min=0, max=2**31, tooltip="Seed of the random weights.")


class ImagePromptDemoCheckpoint(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ImagePromptDemoCheckpoint",
            display_name="Demo Checkpoint (random weights)",
            category="image prompt/demo",
            description="A narrow SD1.5, SDXL or SD3.5 with seeded random weights. Its pictures mean nothing.",
            inputs=[
                io.Combo.Input("base_model", options=list(BASE_MODELS), tooltip="Which blocks the model has."),
                SEED,
            ],
            outputs=[io.Model.Output(), io.Clip.Output(), io.Vae.Output()],
        )

    @classmethod
    def execute(cls, base_model, seed) -> io.NodeOutput:
        make_model, make_text_encoder, channels = BASE_MODELS[base_model]
        return io.NodeOutput(make_model(seed), make_text_encoder(seed), vae.autoencoder(seed, channels))


class ImagePromptDemoAnima(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ImagePromptDemoAnima",
            display_name="Demo Anima (random weights)",
            category="image prompt/demo",
            description="A narrow Anima with seeded random weights.",
            inputs=[SEED],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, seed) -> io.NodeOutput:
        return io.NodeOutput(dits.anima(seed))


class ImagePromptDemoText(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ImagePromptDemoText",
            display_name="Demo Text Encoder (random weights)",
            category="image prompt/demo",
            description="A shallow text encoder with seeded random weights, as wide as that of the model.",
            inputs=[
                io.Combo.Input("base_model", options=list(TEXTS), tooltip="For which model."),
                SEED,
            ],
            outputs=[io.Clip.Output()],
        )

    @classmethod
    def execute(cls, base_model, seed) -> io.NodeOutput:
        return io.NodeOutput(TEXTS[base_model](seed))


class ImagePromptDemoAutoencoder(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ImagePromptDemoAutoencoder",
            display_name="Demo Autoencoder (random weights)",
            category="image prompt/demo",
            description="A small autoencoder for latents of 16 channels, with seeded random weights.",
            inputs=[SEED],
            outputs=[io.Vae.Output()],
        )

    @classmethod
    def execute(cls, seed) -> io.NodeOutput:
        return io.NodeOutput(vae.autoencoder(seed, dits.CHANNELS))


class ImagePromptDemoControlNet(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ImagePromptDemoControlNet",
            display_name="Demo ControlNet (random weights)",
            category="image prompt/demo",
            description="A ControlNet for the narrow SDXL of Demo Checkpoint, with seeded random weights.",
            inputs=[SEED],
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
        return [
            ImagePromptDemoCheckpoint,
            ImagePromptDemoControlNet,
            ImagePromptDemoWorld,
            ImagePromptDemoAnima,
            ImagePromptDemoText,
            ImagePromptDemoAutoencoder,
        ]


def comfy_entrypoint():
    return DemoExtension()
