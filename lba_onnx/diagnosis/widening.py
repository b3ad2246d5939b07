"""Specs of a wider family for the nodes of a converted model."""

from collections.abc import Sequence

from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.calibration import calibrate
from lba_onnx.data.batches import Batch
from lba_onnx.diagnosis.variants import Variants
from lba_onnx.families import FormatFamily


def widen(
    variants: Variants, batches: Sequence[Batch], family: FormatFamily, providers: Sequence[str]
) -> dict[str, AccumulatorSpec]:
    """Return specs of a family with the smallest ranges in which nothing overflows; chunk sizes and underflow stay.

    Args:
        variants: The models.
        batches: The samples that the ranges come from.
        family: The family.
        providers: onnxruntime's execution providers.

    Raises:
        ValueError: The family has fewer mantissa or exponent bits than a format that it is to replace.
    """
    for name, spec in variants.specs.items():
        _check_wider(family, name, spec)
    specs: dict[str, AccumulatorSpec] = {}
    for chunk_size, underflow in {(spec.chunk_size, spec.underflow) for spec in variants.specs.values()}:
        calibration = calibrate(
            variants.reference,
            [dict(batch.feeds) for batch in batches],
            str(family),
            "max",
            chunk_size=chunk_size,
            underflow=underflow,
            providers=providers,
        )
        for name, spec in variants.specs.items():
            if (spec.chunk_size, spec.underflow) == (chunk_size, underflow):
                specs[name] = calibration.specs[name]
    return specs


def _check_wider(family: FormatFamily, name: str, spec: AccumulatorSpec) -> None:
    for present in (spec.product_format, spec.accumulator_format):
        if family.mantissa_bits < present.mantissa_bits or family.exponent_bits < present.exponent_bits:
            raise ValueError(f"expected a family at least as wide as {present} of node {name!r}, got {family}")
