"""Method "mse": the least squared output error of each layer, unless plain ranges do better for the model.

The least error of each layer need not be the least error of the model. So the choice ends with a look at the model's
own output, on samples kept apart.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lba_onnx.calibration.candidate_errors import least_errors
from lba_onnx.calibration.methods.max import Max, fit_max
from lba_onnx.calibration.methods.method import Chosen, Method
from lba_onnx.calibration.methods.percentile import Percentile, fit_percentile, takes_percentile
from lba_onnx.calibration.scores import judged_scores
from lba_onnx.calibration.seen import DataSeen, Keep
from lba_onnx.calibration.settings import Settings
from lba_onnx.calibration.subject import Subject
from lba_onnx.data.watching import enter_phase, steps

if TYPE_CHECKING:
    from lba_onnx.data.execution import Progress


@dataclass(frozen=True)
class Mse(Method):
    """Looks at each layer's output, then at the model's.

    Attributes:
        percentile: Percent of the values that the ranges of one of the choices compared hold.
    """

    name = "mse"
    help = "least output error of each layer"
    keeps = Keep.APART

    percentile: float = takes_percentile()

    def choose(self, seen: DataSeen, subject: Subject, settings: Settings, progress: "Progress | None") -> Chosen:
        """Return the best of least errors and plain ranges; of equals the first."""
        largest = fit_max(seen.ranges, settings)
        choices = {
            self.name: least_errors(subject, seen.kept.fitted, largest, settings, progress),
            Max.name: largest,
            Percentile.name: fit_percentile(seen.ranges, settings, self.percentile),
        }
        scores = judged_scores(subject.judge(seen.kept.judged), largest, settings)
        enter_phase("judging", unit="")
        found = {name: scores.score(choices[name]) for name in steps(list(choices))}
        chosen = max(found, key=lambda name: found[name])
        return Chosen(choices[chosen], scores.verdict(found, chosen, seen.kept))
