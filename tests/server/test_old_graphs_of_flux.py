"""The nodes of packs for Flux run in the queue, with the least and with all inputs."""

from .old_graphs import node


def sampled(nodes: dict, model: list) -> dict:
    return {
        "model": node("UNETLoader", unet_name="demo-flux.safetensors", weight_dtype="default"),
        "image": node("LoadImage", image="grace_hopper.jpg"),
        "text": node("TinyText", seed=1),
        "nothing": node("TinyText", seed=2),
        "latent": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
        **nodes,
        "sampler": node(
            "KSampler",
            model=model,
            positive=["text", 0],
            negative=["nothing", 0],
            latent_image=["latent", 0],
            **{"seed": 1, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0},
        ),
        "shown": node("LatentPicture", samples=["sampler", 0]),
        "saved": node("SaveImage", images=["shown", 0], filename_prefix="flux"),
    }


XLABS = {"model": ["model", 0], "ip_adapter_flux": ["adapter", 0], "image": ["image", 0]}
INSTANTX = {"model": ["model", 0], "ipadapter_flux": ["adapter", 0], "image": ["image", 0]}
STRENGTHS = {"begin_strength": 0.9, "end_strength": 0.1}
LOADED = {"ipadatper": "demo-xlabs.safetensors", "clip_vision": "demo-encoder.safetensors"}


def pictures(run, loader: dict, *nodes: dict) -> set[bytes]:
    """The pictures of the model alone, and with each of the nodes."""
    graphs = [sampled({}, ["model", 0])]
    graphs += [sampled({"adapter": loader, "it": it}, ["it", 0]) for it in nodes]
    return {run(each).pictures[0].tobytes() for each in graphs}


def test_the_nodes_of_xlabs_steer_the_picture(run):
    found = pictures(
        run,
        node("LoadFluxIPAdapter", **LOADED, provider="GPU"),
        node("ApplyFluxIPAdapter", **XLABS),
        node("ApplyFluxIPAdapter", **XLABS, ip_scale=0.5),
        node("ApplyAdvancedFluxIPAdapter", **XLABS),
        node("ApplyAdvancedFluxIPAdapter", **XLABS, **STRENGTHS, smothing_type="Sigmoid"),
    )
    assert len(found) == 5


def test_the_nodes_of_instantx_steer_the_picture(run):
    given = {"ipadapter": "demo-instantx.safetensors"}
    encoder = "google/siglip-so400m-patch14-384"
    loader = node("IPAdapterFluxLoader", **given, clip_vision=encoder, provider="cuda")
    simple = node("ApplyIPAdapterFlux", **INSTANTX, weight=0.5, start_percent=0.0, end_percent=0.9)
    found = pictures(run, loader, simple)
    advanced = node("ApplyIPAdapterFluxAdvanced", **INSTANTX)
    other = pictures(run, node("IPAdapterFluxLoaderAdvanced", **given), advanced)
    assert len(found) == len(other) == 2 and len(found & other) == 1
