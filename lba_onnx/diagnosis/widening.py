"""Specs of a wider family for the nodes of a converted model."""

from collections.abc import Sequence

from lba_onnx.arithmetic import Accumulator, AccumulatorFamily
from lba_onnx.calibration import calibrate
from lba_onnx.calibration.methods import DEFAULT_METHOD
from lba_onnx.data.batches import Batch
from lba_onnx.data.execution import Execution
from lba_onnx.diagnosis.variants import Variants
from lba_onnx.errors import ModelError


def widen(
    variants: Variants, batches: Sequence[Batch], family: AccumulatorFamily, providers: Sequence[str]
) -> dict[str, Accumulator]:
    """Return specs of a family's widths with the smallest ranges in which nothing overflows; all else stays.

    Args:
        variants: The models.
        batches: The samples that the ranges come from.
        family: The family.
        providers: onnxruntime's execution providers.

    Raises:
        ModelError: The model that integers were converted from is not there.
        ValueError: The family is narrower than a spec that it is to replace, or of another sort.
    """
    if family.is_of_integers and not variants.has_given_reference:
        raise ModelError("expected the int8 model as reference beside a wider family of integers, got none")
    wider = {name: _widened(family, name, spec) for name, spec in variants.specs.items()}
    specs: dict[str, Accumulator] = {}
    for text in {str(own) for own in wider.values()}:
        feeds = [dict(batch.feeds) for batch in batches]
        calibration = calibrate(variants.reference, feeds, text, DEFAULT_METHOD, execution=Execution(providers))
        specs |= {name: calibration.specs[name] for name, own in wider.items() if str(own) == text}
    return {name: specs[name] for name in variants.specs}


def _widened(family: AccumulatorFamily, name: str, spec: Accumulator) -> AccumulatorFamily:
    if family.is_of_integers != spec.sums_codes:
        sort = "integers" if spec.sums_codes else "floats"
        raise ValueError(f"expected a family of {sort} for {spec} of node {name!r}, got {family}")
    if not family.includes(spec):
        raise ValueError(f"expected a family at least as wide as {spec} of node {name!r}, got {family}")
    return family.like(spec)
