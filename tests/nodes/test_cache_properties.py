"""Whatever is used in whatever order, what stays for the next run is what a plain list says, within its bounds."""

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from image_prompt.nodes.applying import prepared
from image_prompt.nodes.applying.sampling import WINDOWS, Layout, Run


class KeptKeysAndValues(RuleBasedStateMachine):
    """Prepared keys and values beside a list of (number, bytes), the last used first."""

    def __init__(self):
        super().__init__()
        self.adapter: Any = SimpleNamespace(recent=[])
        self.made, self.plain = dict[int, Any](), list[tuple[int, int]]()

    @rule(number=st.integers(0, 6), parts=st.integers(1, 12))
    def use(self, number, parts):
        size = self.made[number].size if number in self.made else prepared.RECENT * parts // 10
        patcher = SimpleNamespace(model_size=lambda: size)
        used = self.made.setdefault(number, SimpleNamespace(number=number, size=size, patcher=patcher))
        prepared._remember(self.adapter, used)
        every = [(number, size), *(each for each in self.plain if each[0] != number)]
        self.plain = []
        for each in every:  # what does not fit beside those that were used later is let go, smaller ones stay
            if sum(size for _, size in self.plain) + each[1] <= prepared.RECENT:
                self.plain.append(each)

    @invariant()
    def what_is_kept_is_in_the_list(self):
        assert [(each.number, each.size) for each in self.adapter.recent] == self.plain
        assert sum(each.size for each in self.adapter.recent) <= prepared.RECENT


TestKeptKeysAndValues = KeptKeysAndValues.TestCase


@given(st.lists(st.integers(0, WINDOWS + 2), max_size=40))
def test_a_run_remembers_the_windows_that_were_used_last(numbers):
    run, layouts, plain = Run(), [Layout((), number) for number in range(WINDOWS + 3)], list[int]()
    for time, number in enumerate(numbers):
        made = run.window(layouts[number])
        assert bool(made) == (number in plain)
        made["time"] = time
        plain = ([each for each in plain if each != number] + [number])[-WINDOWS:]
    assert [layouts.index(layout) for layout in run.windows] == plain
