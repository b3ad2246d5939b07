"""An accumulator in words and numbers, for people: what every kind says of itself, then what its own kind adds."""

from lba_onnx.arithmetic.accumulator import Accumulator
from lba_onnx.arithmetic.levels import Level
from lba_onnx.arithmetic.registry import parse_family


def explain(spec: Accumulator) -> tuple[tuple[str, str], ...]:
    """Return headings and texts."""
    special = spec.special_values
    exact = "codes" if special is None else "exact values, subnormals too"
    return (
        ("operands", f"{' and '.join(spec.operand_types)}, {exact}"),
        ("result", spec.result_type),
        *spec.explained(),
        *(() if special is None else (("special values", special.words),)),
        ("products are taken", f"in {spec.product_order.value}"),
        ("counted", "; ".join(map(_events, spec.levels))),
        *_knobs(spec),
    )


def _events(level: Level) -> str:
    events = ", ".join(level.events) or "no event"
    return f"{events} of {level.name.replace('_', ' ')}"


def _knobs(spec: Accumulator) -> tuple[tuple[str, str], ...]:
    if spec.family_text is None:
        return (("calibration chooses", "nothing"),)
    family = parse_family(spec.family_text)
    rows = {"calibration chooses": family.free_knobs, "and may ask for other": family.costly_knobs}
    return tuple((heading, "; ".join(map(str, knobs))) for heading, knobs in rows.items())
