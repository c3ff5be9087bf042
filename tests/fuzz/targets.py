"""All readers that are fuzzed, by their names."""

import library_targets
import model_targets
import node_targets
import picture_targets
import text_targets
from target import Target

TARGETS: dict[str, Target] = {
    **text_targets.TARGETS,
    **picture_targets.TARGETS,
    **node_targets.TARGETS,
    **library_targets.TARGETS,
    **model_targets.TARGETS,
}
