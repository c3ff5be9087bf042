"""The nodes of cubiq/ComfyUI_InstantID and cubiq/PuLID_ComfyUI."""
