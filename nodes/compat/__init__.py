"""The nodes of cubiq/ComfyUI_IPAdapter_plus, so that saved workflows and client programs run unchanged."""
