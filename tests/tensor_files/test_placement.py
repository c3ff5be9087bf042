"""Words for devices and dtypes mean what they say, and those that cannot be used are refused with the reason."""

import pytest
import torch

from image_prompt.tensor_files import placement
from image_prompt.tensor_files.placement import ACCELERATORS, find_device, find_dtype


@pytest.fixture
def only(monkeypatch):
    """Make torch tell that there are these accelerators and no others."""

    def there(*names):
        for name in ACCELERATORS:
            monkeypatch.setitem(ACCELERATORS, name, lambda name=name: name in names)

    return there


@pytest.mark.parametrize(
    ("there", "found"), [(("mps", "xpu", "cuda"), "cuda"), (("mps", "xpu"), "xpu"), (("mps",), "mps"), ((), "cpu")]
)
def test_auto_is_the_first_accelerator_that_is_there(only, there, found, monkeypatch):
    only(*there)
    monkeypatch.setattr(placement, "_numbered", torch.device)
    assert find_device("auto") == torch.device(found)


def test_a_device_is_given_by_its_name_or_as_it_is():
    assert find_device("cpu") == find_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(
    ("cuda", "count", "device", "words"),
    [
        (None, 0, "cuda", "The device cuda cannot be used: this torch .* was built without CUDA. Install a torch with"),
        ("13.0", 0, torch.device("cuda:1"), "The device cuda:1 cannot be used: torch finds no GPU. Check that"),
        ("13.0", 2, "cuda:2", "There is no device cuda:2: the last of 2 is cuda:1"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused_with_the_reason(monkeypatch, cuda, count, device, words):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(ValueError, match=words):
        find_device(device)


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("gpu", 'There is no device \'gpu\': give "auto", "cpu", "cuda"'),
        ("", "There is no device ''"),
        (None, 'The device is None: give "auto"'),
        ("ipu", 'The device ipu cannot be used: .*Give "auto" or "cpu"'),  # torch knows the word
    ],
)
def test_what_is_no_device_here_is_refused(device, words):
    with pytest.raises(ValueError, match=words):
        find_device(device)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("It does not run. This could be because: [CPU, CUDA].\n\nCPU: registered", "It does not run"),
        ("word " * 100, "word " * 38 + "word..."),
        ("", "NotImplementedError"),
    ],
)
def test_of_what_torch_says_only_the_first_sentence_is_told(monkeypatch, said, told):
    def fails(device):
        raise NotImplementedError(said)

    monkeypatch.setattr(placement, "_numbered", fails)
    with pytest.raises(ValueError) as error:
        find_device("mps")
    assert str(error.value) == f'The device mps cannot be used: {told}. Give "auto" or "cpu".'


def test_a_dtype_is_given_by_its_name_or_as_it_is():
    words = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "auto": torch.float64, None: None}
    assert {word: find_dtype(word, torch.float64) for word in words} == words
    assert find_dtype(torch.bfloat16, torch.float64) == torch.bfloat16


@pytest.mark.parametrize("dtype", ["float", "", 16, torch.int32, torch.float8_e4m3fn, torch.complex64])
def test_what_is_no_dtype_to_compute_in_is_refused(dtype):
    with pytest.raises(ValueError, match="The dtype is .*: give \"auto\", 'fp32', 'bf16', 'fp16', a torch.dtype of 16"):
        find_dtype(dtype, torch.float32)
