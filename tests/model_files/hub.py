"""Fill a Hugging Face cache, laid out as `huggingface_hub` does it."""

import hashlib
from pathlib import Path

from published import write

COMMIT, OTHER = "c" * 40, "d" * 40


def put_cached(hub: Path, repository: str, path: str, tensors: dict, commit: str = COMMIT, main: str = COMMIT) -> Path:
    """Put a file into a snapshot, as a link to its blob."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    blob = folder / "blobs" / hashlib.sha256(f"{path} {commit}".encode()).hexdigest()
    write(blob, tensors)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(main)
    link = folder / "snapshots" / commit / path
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(blob)
    return link
