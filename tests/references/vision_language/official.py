"""The official recipe of Qwen3-VL-Embedding, by transformers' model and processor."""

import unicodedata

import torch
from PIL import Image
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

LARGEST = 1800 * 32 * 32


class Official:
    def __init__(self, folder):
        whole = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        self.model = whole.model.eval()
        self.processor = Qwen3VLProcessor.from_pretrained(folder, padding_side="right", local_files_only=True)

    def inputs(self, given, context=8192, max_pixels=LARGEST):
        """given: (text, picture or None, instruction) of each"""
        messages = [self.messages(*each) for each in given]
        pictures = [self.resized(picture, max_pixels) for _, picture, _ in given if picture]
        return self.processor(
            text=self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True),
            images=pictures or None,
            do_resize=False,
            truncation=True,
            max_length=context,
            padding=True,
            return_tensors="pt",
        )

    def messages(self, text, picture, instruction):
        instruction = instruction.strip() or "Represent the user's input."
        if not unicodedata.category(instruction[-1]).startswith("P"):
            instruction += "."
        content = [{"type": "image", "image": picture}] if picture else []
        content += [{"type": "text", "text": text}] if text else []
        return [
            {"role": "system", "content": [{"type": "text", "text": instruction}]},
            {"role": "user", "content": content or [{"type": "text", "text": "NULL"}]},
        ]

    def resized(self, picture, max_pixels):
        height, width = smart_resize(picture.height, picture.width, 32, 4 * 32 * 32, max_pixels)
        return picture.convert("RGB").resize((width, height), Image.BICUBIC)

    @torch.no_grad()
    def vectors(self, given, pooling="last", **options):
        inputs = self.inputs(given, **options)
        states, mask = self.model(**inputs).last_hidden_state, inputs["attention_mask"]
        if pooling == "mean":
            found = (states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        else:
            found = states[torch.arange(len(states)), mask.sum(dim=1) - 1]
        return torch.nn.functional.normalize(found, dim=1)
