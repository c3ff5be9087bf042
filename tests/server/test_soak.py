"""A short soak of the shared server: every fate that a prompt can have, and pictures that come again bit by bit."""

from image_prompt.demo.soak.bad import CUT, put_cut_file
from image_prompt.demo.soak.plan import KINDS
from image_prompt.demo.soak.prompts import Fate
from image_prompt.demo.soak.soak import Soak
from image_prompt.demo.soak.verdicts import of_prompts, of_repeats

COUNT = 20
TRIED = ("demo world: step and layer weights", "embeddings of a text and a picture", "library: nearest")
STOPPED = ("refused", "failing", "cancelled", "deleted")


def test_prompts_of_every_fate_end_as_expected_and_a_repeated_one_gives_the_same_bits(server):
    adapters = server.base / "models" / "ipadapter"
    put_cut_file(adapters)
    kinds = [kind for kind in KINDS if kind.name in TRIED + STOPPED]
    record = Soak(server).run(COUNT, seed=0, kinds=kinds)
    (adapters / CUT).unlink()
    assert of_prompts(record.outcomes).says == f"all {COUNT} as expected"
    assert {outcome.fate for outcome in record.outcomes} == set(Fate) - {Fate.LOST}
    assert of_repeats(record.repeats).says == f"at the start and at the end: {TRIED[0]}"
    assert {each.prompt.kind for each in record.outcomes[: record.marks[0].prompts]} == {kind.name for kind in kinds}
    assert all(mark.use.resident > 100 and mark.use.files and mark.use.threads for mark in record.marks)
