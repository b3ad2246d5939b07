"""What there is to choose from: accumulators whole, families whose biases are calibrated once, and float32.

"M7E4b10"    the same accumulator for every product that takes it
"M7E4"       calibrated on the samples: biases of each product's own, whatever the others choose
"float32"    the product stays as it is
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lba_onnx.arithmetic import Accumulator, parse_accumulator
from lba_onnx.calibration import Calibration
from lba_onnx.calibration.calibrating import calibrate_families
from lba_onnx.calibration.methods import Method
from lba_onnx.data.tally import note, tallied
from lba_onnx.errors import ModelError
from lba_onnx.rewrite.conversion import convert_quietly
from lba_onnx.searching.making import Making
from lba_onnx.searching.progress_file import ProgressFile

FLOAT32 = "float32"


@dataclass(frozen=True)
class Choice:
    """One thing that products may compute with.

    Attributes:
        text: What the user calls it.
        specs: By product the accumulator, None for float32; products that do not take it are left out.
    """

    text: str
    specs: Mapping[str, Accumulator | None]


def derive_choices(
    texts: Sequence[str], making: Making, method: str | Method, notes: ProgressFile
) -> tuple[Choice, ...]:
    """Return the choices, in the order of their texts; float32 is one for each product that takes another.

    Args:
        texts: Accumulators, families, or "float32".
        making: The model, and what to calibrate on.
        method: How biases of families are chosen.
        notes: Where calibrations that were done are found, and noted, with what ran for them.

    Raises:
        DataError: As `calibrate`.
        ModelError: No product takes any of them.
        ValueError: A text is none of these, or stands there twice.
    """
    repeated = next((text for index, text in enumerate(texts) if text in texts[:index]), None)
    if repeated is not None:
        raise ValueError(f"expected each choice once, got {repeated!r} again")
    whole = {text: _converted(spec, making) for text in texts if (spec := _accumulator(text)) is not None}
    families = [text for text in texts if text not in whole and text != FLOAT32]
    specs = {**whole, **_calibrated(families, making, method, notes)}
    products = {name for found in specs.values() for name in found}
    if not products:
        raise ModelError(f"expected a product that takes one of {', '.join(texts)}, got none")
    left: dict[str, Accumulator | None] = dict.fromkeys(sorted(products))
    return tuple(Choice(text, specs.get(text, left)) for text in texts)


def _accumulator(text: str) -> Accumulator | None:
    """Return the accumulator of a text; None for that of a family, or of none."""
    try:
        return parse_accumulator(text)
    except ValueError:
        return None


def _converted(spec: Accumulator, making: Making) -> Mapping[str, Accumulator]:
    settings: dict[str, Any] = {"selection": making.selection, "bias_start": making.bias_start}
    _, report = convert_quietly(making.model.source, spec, **settings)
    return {entry.node: entry.spec for entry in report.converted if entry.spec is not None}


def _calibrated(
    families: Sequence[str], making: Making, method: str | Method, notes: ProgressFile
) -> dict[str, Mapping[str, Accumulator]]:
    """Return by family the accumulator of each product; calibrations are noted as they come."""
    noted = {text: notes.find(f"calibration {text}") for text in families}
    found = {text: Calibration.from_json(value["calibration"]) for text, value in noted.items() if value is not None}
    for value in filter(None, noted.values()):
        note(**value["ran"])
    with tallied() as tally:
        for text, calibration in calibrate_families(
            making.model.source,
            making.to_fit,
            [text for text in families if text not in found],
            method,
            selection=making.selection,
            bias_start=making.bias_start,
            execution=making.execution,
        ):
            notes.add(f"calibration {text}", {"calibration": calibration.to_json(), "ran": tally.taken().to_json()})
            found[text] = calibration
    return {text: calibration.specs for text, calibration in found.items()}
