"""The dtype that is chosen for a device."""

import pytest
import torch

from image_prompt.clip_vision import best_dtype


@pytest.mark.parametrize(("bf16", "amx", "dtype"), [
    (True, False, torch.bfloat16), (False, True, torch.bfloat16), (False, False, torch.float32)])
def test_a_processor_computes_in_bf16_only_where_it_multiplies_it(monkeypatch, bf16, amx, dtype):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert best_dtype("cpu") == dtype


def test_a_torch_that_cannot_be_asked_computes_in_fp32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert best_dtype(torch.device("cpu")) == torch.float32


@pytest.mark.parametrize(("capability", "dtype"), [
    ((9, 0), torch.bfloat16), ((8, 0), torch.bfloat16), ((7, 5), torch.float16), ((6, 1), torch.float16),
    ((5, 2), torch.float32)])
def test_nvidia_devices_by_generation(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.version, "hip", None)
    assert best_dtype("cuda:0") == dtype


def test_other_devices():
    assert best_dtype("mps") == torch.float16
    assert best_dtype("meta") == torch.float32
