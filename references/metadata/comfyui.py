"""Read the API prompt that ComfyUI writes into pictures: {id: {class_type, inputs}}, a link being [id, output]."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

from .graph import Node, Prompt
from .numbers import LONGEST_NAME, LONGEST_TEXT, MOST, number

LONGEST = 4 << 20  # characters of a prompt that is looked into; that of a thousand nodes has half a million
LATENTS = ("latent_image", "latent", "samples", "image", "images", "pixels")  # from one sampler to another
PARTS = ("guider", "sampler", "sigmas", "noise")  # nodes that say for a sampler what others have as widgets
MODELS = ("model", "model1", "base_model", "basemodel", "model_1")
LOADED = ("ckpt_name", "unet_name", "diffusion_model", "model_name", "base_ckpt_name", "ckpt_path", "model_path")
ADAPTER_NAMES = ("adapter_name", "ipadapter_file", "preset", "purpose", "instantid_file", "pulid_file")
TEXTS = ("text", "text_g", "clip_l", "t5xxl", "text_l", "prompt", "positive_prompt", "string", "value", "instruction")
PIECES = ("string_a", "string_b", "text_a", "text_b", "text_1", "text_2", "string1", "string2", "text1", "text2")
EMPTY = ("ConditioningZeroOut",)  # whatever text is before it
IMAGE_PROMPT = re.compile(r"ImagePrompt|ip_?a?adapter|instantid|pulid|flux.?redux|style_?model", re.IGNORECASE)
SAVED = re.compile(r"save|preview", re.IGNORECASE)
FIELDS = {  # what `generation` says -> the inputs that hold it
    "sampler": ("sampler_name",),
    "scheduler": ("scheduler",),
    "steps": ("steps",),
    "cfg": ("cfg", "cfg_conds"),
    "seed": ("noise_seed", "seed"),
    "denoise": ("denoise",),
}
WORDS = ("sampler", "scheduler")
OF_IMAGE_PROMPT = {  # in the manner of this pack, and of ComfyUI_IPAdapter_plus
    "weight": ("weight", "weight_style", "style_boost", "composition_boost", "strength"),
    "start": ("start", "start_at"),
    "end": ("end", "end_at"),
}
LAYERS = ("layers", "weight_type")


def described(text: str) -> dict[str, Any]:
    """What `generation` says, as far as it is there; empty if this is no such text."""
    if len(text) > LONGEST:
        return {}
    prompt = Prompt.of(json.loads(text))
    found: dict[str, Any] = {"program": "ComfyUI"} if prompt.nodes else {}
    if sampler := _first_sampler(prompt):
        return found | {name: value for name, value in _facts(prompt, sampler).items() if value not in (None, "", [])}
    return found


def _first_sampler(prompt: Prompt) -> Node | None:
    """The sampler that began the picture: before the last one, by what goes from one to another."""
    ends = [node for node in prompt.nodes.values() if node.id not in prompt.used]
    ends.sort(key=lambda node: SAVED.search(node.type) is None)
    nearest = next((found for end in ends if (found := next(_samplers(prompt, [end]), None))), None)
    passed = set[str]()
    while nearest and nearest.id not in passed:
        passed.add(nearest.id)
        before = prompt.before(nearest, LATENTS)
        earlier = next((each for each in _samplers(prompt, before) if each.id not in passed), None)
        if earlier is None:
            return nearest
        nearest = earlier
    return nearest


def _samplers(prompt: Prompt, begin: Sequence[Node]) -> Iterator[Node]:
    return (node for node in prompt.upstream(begin) if _is_sampler(node))


def _is_sampler(node: Node) -> bool:
    latents = any(name in node.links for name in LATENTS)
    seeded = any(name in node.inputs or name in node.links for name in FIELDS["seed"])
    if "guider" in node.links:
        return "noise" in node.links or latents
    return "model" in node.links and latents and (seeded or "noise" in node.links) and "positive" in node.links


def _facts(prompt: Prompt, sampler: Node) -> dict[str, Any]:
    parts = list(prompt.upstream([sampler], PARTS))
    found = {name: next(_values(prompt, parts, names, name in WORDS), None) for name, names in FIELDS.items()}
    chain = _chain(prompt, parts)
    positive, negative = (
        _side(prompt, parts, names) for names in (("positive", "conditioning", "cond1"), ("negative",))
    )
    guidance = (each for each in prompt.upstream(positive) if "guidance" in each.inputs)
    return {
        "model": _name(prompt, chain, LOADED),
        "loras": list(reversed([lora for node in chain for lora in reversed(_loras(prompt, node))]))[:MOST],
        **found,
        "guidance": next(_values(prompt, guidance, ("guidance",), False), None),
        "size": _size(prompt, sampler),
        "prompt": _text(prompt, positive),
        "negative": _text(prompt, negative),
        "image_prompts": list(reversed([each for node in chain for each in _image_prompts(prompt, node)]))[:MOST],
    }


def _values(prompt: Prompt, nodes: Any, names: Sequence[str], word: bool) -> Iterator[Any]:
    """What the inputs with these names hold: words, or else numbers."""
    for node in nodes:
        for name in names:
            value = prompt.value(node, name)
            value = value[:LONGEST_NAME] if word and isinstance(value, str) else None if word else number(value)
            if value is not None:
                yield value


def _name(prompt: Prompt, nodes: Any, names: Sequence[str]) -> str:
    return next((value for value in _values(prompt, nodes, names, True) if value), "")


def _chain(prompt: Prompt, parts: Sequence[Node]) -> list[Node]:
    """The nodes that the model passes, from the sampler back to where it is loaded."""
    begin = next((node for part in parts for node in prompt.before(part, MODELS)), None)
    chain, passed = list[Node](), set[str]()
    while begin and begin.id not in passed:
        chain.append(begin)
        passed.add(begin.id)
        further = prompt.before(begin, MODELS)
        if not further and not any(name in begin.inputs for name in LOADED):
            further = prompt.before(begin, [name for name in begin.links if "model" in name.lower()])
            if not further and len(begin.links) == 1:  # a reroute, or a switch with one input
                further = prompt.before(begin, list(begin.links))
        begin = further[0] if further else None
    return chain


def _loras(prompt: Prompt, node: Node) -> list[dict[str, Any]]:
    """The LoRAs that one node applies, in order: one, numbered ones, rows with a switch, or a stack before it."""
    found = [lora for each in reversed(prompt.before(node, ("lora_stack",))) for lora in _loras(prompt, each)]
    for name, value in node.inputs.items():
        row = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        if "lora" in row:
            if row.get("on", True) is True:
                found.append(_lora(row["lora"], row.get("strength")))
        elif name == "lora_name":
            found.append(_lora(value, next(_values(prompt, [node], ("strength_model", "strength"), False), None)))
        elif match := re.fullmatch(r"lora_(?:name_)?(\d+)", name):
            names = [f"{each}_{match[1]}" for each in ("lora_wt", "model_str", "strength_model", "strength")]
            found.append(_lora(value, next(_values(prompt, [node], names, False), None)))
    return [lora for lora in found if lora["name"] not in ("", "None") and lora["weight"] != 0]


def _lora(name: Any, weight: Any) -> dict[str, Any]:
    return {"name": name[:LONGEST_NAME] if isinstance(name, str) else "", "weight": number(weight)}


def _image_prompts(prompt: Prompt, node: Node) -> list[dict[str, Any]]:
    """What one node applies: its own weight, or those of the references that it takes."""
    if not IMAGE_PROMPT.search(node.type):
        return []
    listed = [name for name in node.links if name.startswith("references")]
    rows = prompt.upstream(prompt.before(node, listed), ("references",), ("references.",)) if listed else [node]
    adapter = _name(prompt, prompt.upstream([node], ("adapter", "ipadapter", "instantid", "pulid")), ADAPTER_NAMES)
    return [found for row in rows if (found := _image_prompt(prompt, row, adapter))]


def _image_prompt(prompt: Prompt, node: Node, adapter: str) -> dict[str, Any] | None:
    numbers = {key: next(_values(prompt, [node], names, False), None) for key, names in OF_IMAGE_PROMPT.items()}
    if numbers["weight"] is None or node.inputs.get("on") is False:
        return None
    chosen = prompt.before(node, ("layer_weights",))  # they take the place of the layers
    known = {
        "adapter": adapter,
        "layers": _name(prompt, chosen, ("preset",)) or _name(prompt, [node], LAYERS),
        **numbers,
    }
    return {"node": node.type[:LONGEST_NAME], **{key: value for key, value in known.items() if value not in (None, "")}}


def _size(prompt: Prompt, sampler: Node) -> list[int] | None:
    for node in prompt.upstream(prompt.before(sampler, LATENTS)):
        size = [number(prompt.value(node, name)) for name in ("width", "height")]
        if all(isinstance(each, int) for each in size):
            return [int(each or 0) for each in size]
    return None


def _side(prompt: Prompt, parts: Sequence[Node], names: Sequence[str]) -> list[Node]:
    """Where the conditioning of one side comes from, through nodes that pass both."""
    for part in parts:
        for name in names:
            link, passed = part.links.get(name), set[tuple[str, int]]()
            while link and link not in passed:
                passed.add(link)
                node = prompt.nodes.get(link[0])
                if node is None:
                    break
                if not {"positive", "negative"} <= node.links.keys():
                    return [node]
                link = node.links["negative" if link[1] == 1 else "positive"]
    return []


def _text(prompt: Prompt, begin: Sequence[Node]) -> str:
    """The texts that a conditioning was made of, each once."""
    found: dict[str, None] = {}
    for node in prompt.upstream(begin, ends=lambda node: node.type in EMPTY or bool(_own_texts(prompt, node))):
        if node.type not in EMPTY:
            found |= dict.fromkeys(_own_texts(prompt, node))
    return "\n".join(found)[:LONGEST_TEXT]


def _own_texts(prompt: Prompt, node: Node) -> list[str]:
    values = [prompt.value(node, name, (*TEXTS, *PIECES)) for name in TEXTS]
    return [value for value in values if isinstance(value, str) and value.strip()]
