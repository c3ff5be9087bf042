"""From an encoder's file to its first features: this pack's nodes beside ComfyUI's, on the CPU.

    python benchmarks/load.py [--quick] [--dtype auto] [--comfyui PATH]

A ViT-H/14 in fp16 of published shapes, with random values, is loaded and encodes one picture. Every measurement is a
fresh process; the two take turns, and medians are shown. CPU seconds are the process's own; memory is the highest
RssAnon (what no file backs), less that after the imports, as Linux tells it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from parts import host

FILE = "vit-h.safetensors"
ALIKE = 1.1  # at most so many times what core takes


def arguments():
    parser = host.arguments(__doc__)
    parser.add_argument("--dtype", default="auto", help="of our loader")
    parser.add_argument("--repeats", type=int, help="of every measurement; default 5, or 2 with --quick")
    parser.add_argument("--measure", nargs=2, metavar=("NAME", "FOLDER"), help="one measurement, in this process")
    return parser.parse_args()


def ours(dtype: str) -> object:
    from image_prompt.nodes.encoding.encode import EncodeImagePrompt
    from image_prompt.nodes.loading.load import LoadImageEncoder

    def run(picture: object) -> object:
        return EncodeImagePrompt.execute(LoadImageEncoder.execute(FILE, dtype=dtype).args[0], picture).args[0]

    return run


def core(_: str) -> object:
    import nodes

    def run(picture: object) -> object:
        [encoder] = nodes.CLIPVisionLoader().load_clip(FILE)
        return nodes.CLIPVisionEncode().encode(encoder, picture, "center")[0]

    return run


CANDIDATES = {"ours": ours, "core": core}


def measure(options, name: str, folder: str) -> None:
    """Tells the parent when the imports are done, then the CPU seconds of loading and encoding."""
    host.start(options)
    import folder_paths
    import torch

    folder_paths.folder_names_and_paths["clip_vision"] = ([folder], {".safetensors"})
    run = CANDIDATES[name](options.dtype)
    picture = torch.rand(1, 512, 512, 3)
    torch.mm(picture[0, :, :, 0], picture[0, :, :, 1])  # starts the threads before the time is taken
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.process_time()
    with torch.inference_mode():
        features = run(picture)
    print(json.dumps({"cpu": time.process_time() - begin, "finite": bool(features.image_embeds.isfinite().all())}))


def anonymous(pid: int) -> int:
    """Bytes of a process that no file backs; 0 when it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) << 10
    return 0


def measured(options, name: str, folder: str) -> dict[str, float]:
    """Measure one fresh process; its memory is watched from here, so that watching costs it nothing."""
    command = [sys.executable, __file__, "--measure", name, folder, "--comfyui", options.comfyui]
    command += ["--threads", str(options.threads), "--dtype", options.dtype]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        while (line := process.stdout.readline()) and line != "ready\n":
            pass
        if not line:
            sys.exit(f"{name} failed before it began.")
        before = highest = anonymous(process.pid)
        process.stdin.write("go\n")
        process.stdin.flush()
        while process.poll() is None:
            highest = max(highest, anonymous(process.pid))
            time.sleep(0.002)
        answer = process.stdout.read()
    if process.returncode:
        sys.exit(f"{name} failed.")
    found = json.loads(answer.splitlines()[-1])
    assert found["finite"]
    return {"cpu": found["cpu"], "memory": (highest - before) / 1e9}


def main() -> None:
    options = arguments()
    if options.measure:
        return measure(options, *options.measure)
    if not Path("/proc/self/status").exists():
        sys.exit("Memory is measured on Linux only.")
    from parts import files

    with tempfile.TemporaryDirectory() as folder:
        files.write(Path(folder) / FILE, files.vision_shapes("ViT-H/14"))
        found: dict[str, list[dict[str, float]]] = {name: [] for name in CANDIDATES}
        for _ in range(options.repeats or (2 if options.quick else 5)):
            for name in CANDIDATES:
                found[name].append(measured(options, name, folder))
    print(f"ViT-H/14, fp16 file, {options.threads} threads, {options.dtype}\n")
    print("| | ours | core | ours / core | at most |\n|---|---|---|---|---|")
    for key, title in (("cpu", "CPU seconds"), ("memory", "anonymous memory, GB")):
        ours, core = (statistics.median(each[key] for each in found[name]) for name in CANDIDATES)
        print(f"| {title} | {ours:.2f} | {core:.2f} | {ours / core:.2f} | {ALIKE} |")


if __name__ == "__main__":
    main()
