"""The names with which programs find the file for a need. The code is in `matching/`.

index, catalogue = Index(ModelFolders.from_root("/opt/ComfyUI")), Catalogue.load()
resolution = resolve(Need("adapter", purpose="plus face", base_model="SDXL"), index, catalogue)
resolution.found.file.path if resolution.found else explain(resolution)
"""

from .matching import HOMES, Need, Report, Resolution, Row, explain, glance, resolve, table

__all__ = ["HOMES", "Need", "Report", "Resolution", "Row", "explain", "glance", "resolve", "table"]
