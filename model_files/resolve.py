"""Needs -> files, for programs: the names to import are here, and the code is in `matching/`.

index, catalogue = Index(ModelFolders.from_root("/opt/ComfyUI")), Catalogue.load()
resolution = resolve(Need("adapter", purpose="plus face", base_model="SDXL"), index, catalogue)
resolution.found.file.path if resolution.found else explain(resolution)
"""

from .matching import HOMES, Need, Report, Resolution, Row, explain, glance, resolve, table

__all__ = ["HOMES", "Need", "Report", "Resolution", "Row", "explain", "glance", "resolve", "table"]
