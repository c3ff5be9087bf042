#!/usr/bin/env python3
"""Train one model of the demo world, or go on with it: autoencoder, clip, vision, unet, base, plus.

    python demo/train.py autoencoder
    python demo/train.py clip
    python demo/train.py vision              goes on with the vision tower of clip
    python demo/train.py unet                needs the autoencoder and clip
    python demo/train.py base                needs all of these
    python demo/train.py plus                needs all of these but base

A finished model goes to demo/models/; a trial, with --steps or --pictures, needs --models. Ctrl-C saves; the same
command goes on. It needs the packages and the ComfyUI of `python dev.py demo`: start it with .dev/venv/bin/python.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEV = Path(os.environ.get("IMAGE_PROMPT_DEV") or ROOT / ".dev").resolve()
RANK = "IMAGE_PROMPT_TRAINING_RANK"
MODELS = ("autoencoder", "clip", "vision", "unet", "base", "plus")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--steps", type=int, help="how many, instead of the recipe's own number")
    parser.add_argument("--pictures", type=int, default=30_000, help="to train on (default 30000)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches and noise (default 0)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU, for each process (default 1)")
    parser.add_argument(
        "--processes", type=int, default=1, help="that share every batch, faster than threads (default 1)"
    )
    parser.add_argument("--device", help="cpu or cuda (default: a GPU if there is one)")
    parser.add_argument("--folder", type=Path, default=DEV / "training", help="states, caches and curves")
    parser.add_argument("--models", type=Path, default=ROOT / "demo" / "models", help="finished models")
    parser.add_argument("--comfyui", type=Path, default=Path(os.environ.get("COMFYUI_PATH") or DEV / "comfyui"))
    options = parser.parse_args()
    tried = options.steps is not None or options.pictures != parser.get_default("pictures")
    if tried and options.models == parser.get_default("models"):
        parser.error("With --steps or --pictures say --models FOLDER too: demo/models holds the finished models.")
    if not (options.comfyui / "comfy").is_dir():
        parser.error(f"There is no ComfyUI in {options.comfyui}: run `python dev.py demo` once, or say --comfyui PATH.")
    try:
        import torch
    except ImportError:
        parser.error("torch is not installed here: start this with .dev/venv/bin/python.")
    sys.path[:1] = [str(options.comfyui), str(ROOT)]  # demo/ itself would hide the package of that name
    torch.set_num_threads(options.threads)
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    import_comfyui(device.type == "cpu")
    import_pack()
    from demo.training.loop import interrupted
    from demo.training.models import train_model
    from demo.training.setting import Setting

    options.folder.mkdir(parents=True, exist_ok=True)
    options.models.mkdir(parents=True, exist_ok=True)
    rank = int(os.environ.get(RANK, 0))
    if options.processes > 1 and RANK not in os.environ:
        return several(options.processes)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    if options.processes > 1:
        torch.distributed.init_process_group("gloo", rank=rank, world_size=options.processes)
    setting = Setting(
        options.folder, options.models, device, options.seed, options.steps, options.pictures, rank, options.processes
    )
    try:
        train_model(options.model, setting)
    except KeyboardInterrupt:
        if not rank:
            print("\nSaved. The same command goes on.")
        return 130
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def several(processes: int) -> int:
    """This command once for each process. A signal goes on to all of them, and one that fails ends the others."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    children = [
        subprocess.Popen([sys.executable, *sys.argv], env={**os.environ, **place, RANK: str(rank)})
        for rank in range(processes)
    ]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: [child.terminate() for child in children])
    while None in (codes := [child.poll() for child in children]):
        if any(codes):  # the others would wait for it
            for child in children:
                child.terminate()
        time.sleep(0.2)
    return max(map(abs, codes))


def import_comfyui(cpu: bool) -> None:
    import comfy.options

    comfy.options.enable_args_parsing(False)
    from comfy.cli_args import args

    args.cpu = cpu
    args.use_pytorch_cross_attention = True  # the others are slower to train


def import_pack() -> None:
    """Import the pack as `image_prompt`, whatever its folder is called."""
    spec = importlib.util.spec_from_file_location(
        "image_prompt", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec and spec.loader
    sys.modules["image_prompt"] = pack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pack)


if __name__ == "__main__":
    sys.exit(main())
