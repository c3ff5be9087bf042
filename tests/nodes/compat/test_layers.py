"""Each layer gives what the formulas of cubiq/ComfyUI_IPAdapter_plus give, to 1e-5."""

import json
from pathlib import Path

import pytest

from . import formulas

TABLE = json.loads((Path(__file__).parents[2] / "ip_adapter" / "weight_types.json").read_text())


@pytest.mark.parametrize("base", formulas.BLOCKS)
def test_the_formulas_of_weight_types_give_the_published_numbers(base):
    for weight_type, factors in TABLE["factors"][base].items():
        found = formulas.plan(weight_type, base)
        given = {number: each.weight for number, each in found.items() if each.weight}
        published = {number: factor for number, factor in enumerate(factors) if factor}
        assert given == pytest.approx(published, rel=1e-5), weight_type
