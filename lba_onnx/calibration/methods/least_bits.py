"""Method "least_bits": of integers, the least bits of each layer with which the model's output fulfils a condition.

    1. as many bits as hold all sums of all samples; that is all without a condition, else it has to hold there
    2. of each layer as many as hold all but a share of its sums, the same share everywhere: bisection on the share
    3. single bits taken from layer after layer, round after round, while the condition holds
    4. of what held on the way, the last that holds on half of all samples, kept apart: bisection

Each step costs one evaluation of the model on some samples; their number is bounded. Steps 1 to 3 run few samples, and
step 4 many: what was found by a long search holds on the few, and is confirmed the better the more others there are.
What comes out of step 3 is least in the sense that no bit of it can be taken alone, unless evaluations ran out before.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lba_onnx.calibration.methods.max import Max, fit_max
from lba_onnx.calibration.methods.method import Chosen, Count, Method, Wanted, takes
from lba_onnx.calibration.methods.percentile import fit_percentile
from lba_onnx.calibration.seen import DataSeen, Keep, Kept
from lba_onnx.calibration.settings import Choice, Settings
from lba_onnx.calibration.subject import Subject
from lba_onnx.calibration.verdict import Verdict
from lba_onnx.data.watching import enter_phase
from lba_onnx.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lba_onnx.arithmetic import Accumulator
    from lba_onnx.data.execution import Progress
    from lba_onnx.evaluation import Comparison
    from lba_onnx.evaluation.condition import Condition

_LOSS = Wanted(
    "", 'The loss that is granted, as a condition such as "sqnr>=20" or "agreement>=99"; see docs/calibration.'
)
_TRIALS = Count(64, "Evaluations of the model that method least_bits spends.", least=2)
_SHARES = tuple(2.0**-n for n in range(24, 0, -1))
_MOST_CONFIRMATIONS = 8
_MOST_VALUE = 200.0  # of two outputs alike, whose SQNR is infinite


@dataclass(frozen=True)
class LeastBits(Method):
    """Lets sums overflow as far as the model's output bears it.

    Attributes:
        loss: The condition on the model beside the one with 32 bits, on samples spread over the data and on others,
            kept apart; "" where nothing may overflow.
        trials: Most evaluations of the model.
    """

    name = "least_bits"
    help = "least bits that a loss allows, of integers"
    keeps = Keep.MANY_APART
    is_for_floats = False
    is_for_integers = True

    loss: str = takes(_LOSS)
    trials: int = takes(_TRIALS)

    def choose(self, seen: DataSeen, subject: Subject, settings: Settings, progress: "Progress | None") -> Chosen:
        """Choose.

        Raises:
            DataError: The condition does not hold even where nothing overflows, or the data do not tell.
        """
        from lba_onnx.evaluation.condition import Condition

        fitting = fit_max(seen.ranges, settings)
        if not self.loss:
            return Chosen(fitting)
        done = itertools.count(1)

        def tell() -> None:
            if progress is not None:
                progress(next(done), self.trials)

        kept, condition = seen.kept, Condition.parse(self.loss)
        confirmations = min(_MOST_CONFIRMATIONS, 1 + self.trials // 4)
        trials, confirming = (
            _Trials(subject.comparing(samples), settings, condition, most, tell)
            for samples, most in ((kept.fitted, self.trials - confirmations), (kept.judged, confirmations))
        )
        enter_phase("search", "evaluations", self.trials)
        for each in (trials, confirming):
            if not each.holds(fitting):
                raise DataError(f"{self.loss} does not hold even where no sum overflows: {each.values[-1]:.4g}")
        shared = _most_overflowing(
            trials, [fit_percentile(seen.ranges, settings, 100 * (1 - s)) for s in _SHARES], fitting
        )
        ran = [name for name, found in seen.ranges.items() if found is not None and found.max_abs_product > 0]
        _narrowed(trials, shared, [ran] if settings.granularity == "model" else [[name] for name in ran])
        least = _confirmed(confirming, trials.held)
        return Chosen(least, confirming.verdict(least, kept, self.name, len(trials.values)))


class _Trials:
    """Evaluations of the model on some samples.

    Attributes:
        values: The figure of the condition, trial by trial.
        held: The choices that fulfilled it, likewise.
    """

    def __init__(
        self,
        compare: "Callable[[Mapping[str, Accumulator]], Comparison]",
        settings: Settings,
        condition: "Condition",
        most: int,
        tell: "Callable[[], None]",
    ) -> None:
        self.values: list[float] = []
        self.held: list[Choice] = []
        self._compare = compare
        self._settings = settings
        self._condition = condition
        self._most = most
        self._tell = tell
        self._known: dict[tuple[str, ...], float] = {}

    @property
    def are_left(self) -> bool:
        """Whether there may be another one."""
        return len(self.values) < self._most

    def holds(self, choice: Choice) -> bool:
        """Return whether the condition holds; of a choice that has been tried, without another trial."""
        key = self._key(choice)
        if key not in self._known:
            self._known[key] = self._condition.value(self._compare(self._settings.specs(choice)))
            self.values.append(self._known[key])
            if self._condition.holds(self._known[key]):
                self.held.append(choice)
            self._tell()
        return self._condition.holds(self._known[key])

    def differ(self, first: Choice, second: Choice) -> bool:
        """Return whether two choices mean other accumulators; those at the least legal bits do not."""
        return self._key(first) != self._key(second)

    def verdict(self, chosen: Choice, kept: Kept, name: str, others: int) -> Verdict:
        """Return how the choice fared beside the one in which nothing overflows, which was tried first.

        Args:
            chosen: The choice, which was tried.
            kept: The samples.
            name: The choice's name.
            others: Evaluations on other samples.
        """
        found = {Max.name: self.values[0], name: self._known[self._key(chosen)]}
        scores = {key: min(value, _MOST_VALUE) for key, value in found.items()}
        samples = sum(batch.samples for batch in kept.judged)
        condition = str(self._condition)
        return Verdict(
            self._condition.figure, samples, kept.is_shared, scores, name, others + len(self.values), condition
        )

    def _key(self, choice: Choice) -> tuple[str, ...]:
        return tuple(str(spec) for spec in self._settings.specs(choice).values())


def _most_overflowing(trials: _Trials, choices: Sequence[Choice], fitting: Choice) -> Choice:
    """Return the last choice, in which most overflows, that fulfils the condition, as bisection finds it."""
    best, holds, fails = fitting, -1, len(choices)
    while fails - holds > 1 and trials.are_left:
        middle = (holds + fails) // 2
        if trials.holds(choices[middle]):
            best, holds = choices[middle], middle
        else:
            fails = middle
    return best


def _narrowed(trials: _Trials, choice: Choice, groups: Sequence[Sequence[str]]) -> None:
    """Take single bits from all layers of a group, group after group, the widest first, while the condition holds."""
    waiting = sorted(groups, key=lambda group: -choice[group[0]].accumulator if group else 0)
    while waiting:
        further = []
        for group in waiting:
            narrower = {**choice, **{name: choice[name].moved(0, -1) for name in group}}
            if trials.are_left and trials.differ(choice, narrower) and trials.holds(narrower):
                choice = narrower
                further.append(group)
        waiting = further


def _confirmed(trials: _Trials, held: Sequence[Choice]) -> Choice:
    """Return the last choice that holds here, too; the first one does."""
    if trials.are_left and trials.holds(held[-1]):
        return held[-1]
    return _most_overflowing(trials, held[1:-1], held[0])
