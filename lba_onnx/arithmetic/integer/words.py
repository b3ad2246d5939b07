"""Sums of integer codes in words, for people."""

from lba_onnx.arithmetic.integer.definition import IntegerSums
from lba_onnx.arithmetic.integer.fields import IntegerLevel, Kernel, Overflow, ProductRounding


def of_products(rounding: ProductRounding) -> str:
    """Return what becomes of a product."""
    if not rounding.dropped_bits:
        return "exact"
    how = "to the nearest, halves up" if rounding.is_nearest else "down"
    return f"{rounding.dropped_bits} low bits dropped, rounded {how}"


def of_register(held: IntegerLevel, sums: IntegerSums) -> str:
    """Return what a register holds, and when it overflows."""
    apart = f", {sums.distance} apart" if sums.distance > 1 else ""
    of = "" if held.terms is None else f"of {held.terms} products{apart}: "
    what = "wraps" if held.overflow is Overflow.WRAP else "saturates"
    most = held.half - (1 << sums.dropped_bits)
    return f"{of}{held.bits} bits, {-held.half} to {most}; what is beyond {what}, after every addition"


def of_operands(is_raw: bool, kernel: Kernel | None) -> tuple[tuple[str, str], ...]:
    """Return what is accumulated of codes."""
    if not is_raw:
        return (("accumulated are", "codes minus their zero points"),)
    corrected = ("accumulated are", "codes; their zero points are corrected for behind, exactly")
    if kernel is None:
        return (corrected,)
    other = "int8" if kernel.x_type == "uint8" else "uint8"
    moved = f"{kernel.x_type} codes as they are; {other} codes moved by {kernel.x_shift(other)}"
    return (corrected, ("of the first operand", moved), ("exact", "uint8 weights, and depthwise convolutions"))
