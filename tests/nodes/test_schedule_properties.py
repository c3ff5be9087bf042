"""For any schedule, the factor at each step is what a plain loop over its sigmas gives."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from image_prompt.ip_adapter import Course, Keyframe
from image_prompt.nodes.applying.sampling import Evaluation, Run

PERCENT = st.integers(0, 20).map(lambda n: n / 20)


class Sampling(torch.nn.Module):
    """A model sampling whose sigma falls from 12 to 0, as a power of what is left of sampling."""

    def __init__(self, power: float):
        super().__init__()
        self.power = power

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0.0:
            return 999999999.9
        return 12.0 * (1.0 - percent) ** self.power if percent < 1.0 else 0.0

    def percent(self, sigma: float) -> float:
        return 1.0 - (sigma / 12.0) ** (1 / self.power)


@st.composite
def courses(draw):
    points = sorted(draw(st.sets(PERCENT, max_size=4)))
    return Course(
        draw(PERCENT),
        draw(PERCENT),
        tuple(Keyframe(point, draw(st.integers(-20, 20)) / 4) for point in points),
        closed=draw(st.booleans()),
        steps=tuple(draw(st.lists(st.integers(-4, 4).map(float), max_size=4))),
    )


def factors(course: Course, sampling: Sampling, sigmas: Sequence[float]) -> list[float]:
    """The factor at each sigma, which fall."""
    single = lambda percent: float(np.float32(sampling.percent_to_sigma(percent)))  # noqa: E731
    first, last = single(course.start), single(course.end)
    found, step = list[float](), 0
    for sigma in sigmas:
        always = course.start <= 0.0 and course.end >= 1.0
        if not always and not (sigma <= first and (sigma > last or course.closed and sigma == last)):
            found.append(0.0)
            continue
        factor = interpolated(course, sampling.percent(sigma)) if course.keyframes else 1.0
        if course.steps:
            factor *= course.steps[step] if step < len(course.steps) else course.steps[-1]
        found.append(factor)
        step += 1
    return found


def interpolated(course: Course, progress: float) -> float:
    points, values = zip(*[(each.progress, each.factor) for each in course.keyframes])
    return float(np.interp(progress, points, values))


@given(courses(), st.sampled_from([0.5, 1.0, 3.0]), st.integers(1, 9), st.integers(1, 3))
def test_each_step_has_the_factor_of_a_plain_loop(course, power, steps, repeats):
    sampling, run = Sampling(power), Run()
    sigmas = [float(np.float32(sampling.percent_to_sigma((step + 0.37) / steps / 1.01))) for step in range(steps)]
    found = list[float]()
    for sigma in sigmas:
        for _ in range(repeats):  # samplers of a higher order evaluate the model several times at a sigma
            evaluation = Evaluation(run, (False,), {}, (8, 8), torch.tensor([sigma]), sampling)
            seen = evaluation.factor(course)
        found.append(seen)
    expected = factors(course, sampling, sigmas)
    assert all(math.isclose(one, other, abs_tol=1e-3) for one, other in zip(found, expected, strict=True))
