"""What a method of calibration is.

    settings -> data pass (ranges, and the samples that the method keeps) -> choose -> the exponents of every node

A method is a frozen dataclass, in a module of its own. Its fields are all that it is told: what every method is told,
and numbers of its own.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from lba_onnx.arithmetic import AccumulatorFamily
from lba_onnx.calibration.seen import DataSeen, Keep
from lba_onnx.calibration.settings import GRANULARITIES, Choice, Settings
from lba_onnx.calibration.subject import Subject
from lba_onnx.calibration.verdict import Verdict
from lba_onnx.integers import as_count

if TYPE_CHECKING:
    from lba_onnx.data.execution import Progress


@dataclass(frozen=True)
class Number(ABC):
    """A number, or a text, that a method takes.

    Attributes:
        default: What it is where nobody says.
        help: What it means, in one sentence for the command line.
        types: The types that it has in files.
    """

    default: Any
    help: str

    types: ClassVar[tuple[type, ...]] = (int, float)

    @abstractmethod
    def check(self, name: str, value: Any) -> None:
        """Refuse a value.

        Raises:
            TypeError: It is no number.
            ValueError: It is out of range.
        """


@dataclass(frozen=True)
class Count(Number):
    """A whole number.

    Attributes:
        least: The smallest that is allowed.
    """

    least: int = 1

    def check(self, name: str, value: Any) -> None:
        """Refuse what is no whole number of at least `least`."""
        as_count(name, value, self.least)


@dataclass(frozen=True)
class Wanted(Number):
    """A condition on the model's output, as text."""

    types = (str,)

    def check(self, name: str, value: Any) -> None:
        """Refuse what is none; "" asks for nothing."""
        from lba_onnx.evaluation.condition import Condition

        if value != "":
            Condition.parse(value)


@dataclass(frozen=True)
class Percent(Number):
    """A share in percent, above 0."""

    def check(self, name: str, value: Any) -> None:
        """Refuse what is not above 0 and at most 100."""
        if not 0 < value <= 100:
            raise ValueError(f"expected a {name} above 0 and at most 100, got {value}")


def takes(number: Number) -> Any:
    """Return the field of a method that takes a number."""
    return field(default=number.default, metadata={"number": number})


@dataclass(frozen=True)
class Chosen:
    """What a method chose.

    Attributes:
        exponents: Those of each node.
        verdict: How the choices fared by the model's own output; None where the method does not look at it.
    """

    exponents: Choice
    verdict: Verdict | None = None


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """Chooses the exponents of all nodes.

    Attributes:
        name: What people call it.
        help: What it goes by, in a few words.
        keeps: Which samples it needs after the pass of the data.
        is_for_floats: Whether it chooses the biases of floats.
        is_for_integers: Whether it chooses the bits of integers.
        granularity: "layer" for biases of each node's own, "model" for the same everywhere.
        is_tied: Whether the products' bias follows from the sums' by the family's rule.

    Raises:
        TypeError: A number is none.
        ValueError: A field is out of range.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    keeps: ClassVar[Keep]
    is_for_floats: ClassVar[bool] = True
    is_for_integers: ClassVar[bool] = False

    granularity: str = GRANULARITIES[0]
    is_tied: bool = False

    @classmethod
    def numbers(cls) -> dict[str, Number]:
        """Return the numbers of its own, by name."""
        return {entry.name: entry.metadata["number"] for entry in fields(cls) if "number" in entry.metadata}

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.granularity not in GRANULARITIES:
            raise ValueError(f"expected a granularity out of {', '.join(GRANULARITIES)}, got {self.granularity!r}")
        for name, number in self.numbers().items():
            number.check(name, getattr(self, name))

    def to_json(self) -> dict[str, Any]:
        """Return the numbers that the result depends on."""
        return {name: getattr(self, name) for name in self.numbers()}

    def check_family(self, family: AccumulatorFamily) -> None:
        """Check that it chooses what a family leaves free.

        Raises:
            ValueError: It does not.
        """
        is_fit = self.is_for_integers if family.is_of_integers else self.is_for_floats
        if not is_fit:
            chosen = "the bits of integers" if family.is_of_integers else "the biases of floats"
            raise ValueError(f"expected a method that chooses {chosen} for {family}, got {self.name!r}")

    @abstractmethod
    def choose(self, seen: DataSeen, subject: Subject, settings: Settings, progress: "Progress | None") -> Chosen:
        """Choose.

        Args:
            seen: What the data pass left.
            subject: The model, to run the samples that were kept.
            settings: Family, granularity and tie.
            progress: Called with what is done and what there is to do, in samples or evaluations.
        """
