"""The right dtype is chosen for each device."""

from types import SimpleNamespace

import pytest
import torch

from image_prompt.clip_vision import best_dtype


@pytest.mark.parametrize(
    ("bf16", "amx", "dtype"),
    [(True, False, torch.bfloat16), (False, True, torch.bfloat16), (False, False, torch.float32)],
)
def test_a_processor_computes_in_bf16_only_where_it_multiplies_it(monkeypatch, bf16, amx, dtype):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert best_dtype("cpu") == dtype


def test_a_torch_that_cannot_be_asked_computes_in_fp32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert best_dtype(torch.device("cpu")) == torch.float32


def graphics_card(monkeypatch, hip=None, **properties):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(**properties))
    monkeypatch.setattr(torch.version, "hip", hip)


NVIDIA = [
    ("NVIDIA H100", (9, 0), torch.bfloat16),
    ("NVIDIA A100", (8, 0), torch.bfloat16),
    ("NVIDIA GeForce RTX 2080 Ti", (7, 5), torch.float16),
    ("Tesla T4", (7, 5), torch.float16),
    ("NVIDIA GeForce GTX 1080", (6, 1), torch.float16),
    ("NVIDIA GeForce GTX 980", (5, 2), torch.float32),
    ("NVIDIA GeForce GTX 1660 SUPER", (7, 5), torch.float32),
    ("NVIDIA GeForce GTX 1630", (7, 5), torch.float32),
    ("NVIDIA GeForce MX450", (7, 5), torch.float32),
    ("NVIDIA T1000 8GB", (7, 5), torch.float32),
    ("NVIDIA T600 Laptop GPU", (7, 5), torch.float32),
    ("NVIDIA CMP 30HX", (7, 5), torch.float32),
]


def test_nvidia_devices_by_generation_and_name(monkeypatch):
    for name, (major, minor), dtype in NVIDIA:
        graphics_card(monkeypatch, name=name, major=major, minor=minor)
        assert best_dtype("cuda:0") == dtype, name


AMD = [
    ("gfx1100", torch.bfloat16),
    ("gfx1201", torch.bfloat16),
    ("gfx942:sramecc+:xnack-", torch.bfloat16),
    ("gfx90a:sramecc+:xnack-", torch.bfloat16),
    ("gfx908", torch.bfloat16),
    ("gfx1030", torch.float16),
    ("gfx1012:xnack-", torch.float16),
    ("gfx906:sramecc+:xnack-", torch.float16),
    ("gfx90c", torch.float16),
    ("gfx803", torch.float16),
]


def test_amd_devices_by_architecture(monkeypatch):
    for architecture, dtype in AMD:
        graphics_card(monkeypatch, hip="6.4", gcnArchName=architecture, name="AMD", major=10, minor=3)
        assert best_dtype("cuda:0") == dtype, architecture


@pytest.mark.parametrize(("bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_intel_devices_by_what_they_support(monkeypatch, bf16, dtype):
    monkeypatch.setattr(torch.xpu, "is_bf16_supported", lambda: bf16)
    assert best_dtype("xpu:0") == dtype


def test_other_devices():
    assert best_dtype("mps") == torch.float16
    assert best_dtype("meta") == torch.float32
