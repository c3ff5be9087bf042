"""When a course acts, and how strongly: by the steps of a run, and by sigma itself."""

import pytest
import torch

from image_prompt.ip_adapter import ALWAYS, Course, Keyframe
from image_prompt.nodes.applying.sampling import Evaluation, Run


class Late:
    """A model sampling whose sigma falls slowly at first."""

    def percent_to_sigma(self, percent):
        return 1.0 - percent**2


def factors(course, sigmas, run=None):
    """The factors in evaluations with these sigmas, one after the other in one run."""
    run = run or Run()
    return [
        Evaluation(run, (False, True), {}, (8, 8), torch.full((2,), sigma), Late()).factor(course) for sigma in sigmas
    ]


def test_factors_of_steps_count_those_in_the_range_and_the_last_one_holds():
    course = Course(0.5, 0.9, steps=(0.2, 0.6, 1.0))  # sigma from 0.75 to above 0.19
    sigmas = (1.0, 0.9, 0.75, 0.75, 0.6, 0.5, 0.4, 0.3, 0.1)
    assert factors(course, sigmas) == [0.0, 0.0, 0.2, 0.2, 0.6, 1.0, 1.0, 1.0, 0.0]
    run = Run()
    assert factors(course, (0.7, 0.6), run) + factors(course, (0.7, 0.5), run) == [0.2, 0.6, 0.2, 1.0]
    assert factors(course, (0.6,)) == [0.2]  # another run begins anew
    both = Course(keyframes=(Keyframe(0.0, 2.0),), steps=(0.5, -1.0))
    assert factors(both, (0.9, 0.8)) == [1.0, -2.0]
    assert both.largest == 2.0 and not both.is_constant and Course(steps=(0.0, 0.0)).is_nothing


@pytest.mark.parametrize("closed", [False, True])
def test_a_range_of_sigma_is_that_of_its_way_from_1_to_0(closed):
    """0.25 and 0.75 are told from what ComfyUI makes of these percents, 0.9375 and 0.4375."""
    course = Course(0.25, 0.75, closed=closed, counts="sigma")
    assert factors(course, (1.0, 0.8, 0.75, 0.3, 0.25, 0.2)) == [0.0, 0.0, 1.0, 1.0, float(closed), 0.0]
    assert ALWAYS.is_constant and not course.is_constant
