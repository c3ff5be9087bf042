"""Which image prompts act in one layer, and with what weights."""

from collections.abc import Sequence

from ...ip_adapter import Frame, Side
from .image_prompt import Part
from .sampling import Evaluation, Group

Weights = tuple[float, ...]


class Cast:
    """The parts that may act in one layer, and their weights: one for each part, or several if pictures differ.

    carried: the parts of prompts that conditions bring along; they act in the rows of these conditions only
    first: for each part, the number of its first weight; it has one for each of its prompt's `distinct_frames`
    """

    def __init__(self, parts: Sequence[Part], carried: Sequence[Part] = ()):
        self.carried = frozenset(carried)
        self.parts = parts = (*parts, *carried)
        self.differs_by_picture = any(part.prompt.differs_by_picture for part in parts)
        self.frames: list[tuple[Part, Frame]] = []
        self.first: dict[Part, int] = {}
        for part in parts:
            self.first[part] = len(self.frames)
            self.frames += [(part, frame) for frame in part.prompt.distinct_frames]
        self.folds = any(part.folds for part in parts)
        self.folded = frozenset(number for number, (part, _) in enumerate(self.frames) if not part.takes_weight)
        courses = [course for part, frame in self.frames for course in (part.prompt.strength.course, frame.course)]
        always = all(course.is_constant for course in courses)
        self.constant = tuple(part.weight * frame.weight for part, frame in self.frames) if always else None

    def weights(self, evaluation: Evaluation) -> Weights:
        """The weights in an evaluation of the model."""
        if self.constant is not None:
            return self.constant
        return tuple(
            part.weight * factor for part in self.parts for factor in evaluation.once(part.prompt, part.prompt.factors)
        )

    def at_call(self, weights: Weights) -> Weights:
        """The weights that a call takes: 1 where the values hold the weight."""
        if not self.folded:
            return weights
        return tuple(1.0 if number in self.folded else weight for number, weight in enumerate(weights))

    def side(self, part: Part, group: Group) -> Side | None:
        """Whose tokens the rows of a group attend to: those of the references, of the negative images, or nobody's."""
        if part not in self.carried:
            by_order = part.prompt.rules.negative == "second"
            return part.share.side(group.second if by_order else group.negative)
        side = dict(group.carried).get(part.prompt)
        return part.share.side(side == "uncond") if side else None

    def acting(self, weights: Weights) -> tuple[Part, ...]:
        """The parts that act with these weights."""
        if weights is self.constant:
            return self.parts  # nothing that never acts is attached
        count = {part: len(part.prompt.distinct_frames) for part in self.parts}
        return tuple(part for part, first in self.first.items() if any(weights[first : first + count[part]]))
