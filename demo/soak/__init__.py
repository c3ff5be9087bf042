"""A long run of many kinds of prompts on a real ComfyUI, which must not leak, lose a prompt or change a picture."""
