"""Einsum: its products as MatMul, two operands after the other.

Axes of size 1 stand for those of any size, as onnxruntime has it. An operand's axis that
only it has, and that the result lacks, is summed before.
"""

from lba_onnx.rewrite.lowering.contraction import Contraction, Operand
from lba_onnx.rewrite.lowering.equations import Equation, read_equation
from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Refused, Source


def einsum(source: Source, maker: Maker) -> None:
    """Take apart an Einsum of two or more operands."""
    count = len(source.node.input)
    equation = read_equation(source.required("equation"), [source.rank(index) for index in range(count)])
    if count < 2:
        raise Refused("has one operand: it adds or moves values, and multiplies none")
    operands = [_operand(source, index, labels) for index, labels in enumerate(equation.operands)]
    steps = equation.pairs()
    if not any(step.summed for step in steps):
        raise Refused("multiplies without a sum over what it multiplies")
    names = _product_names(steps)
    is_swapped = count == 2 and source.is_constant(0) and not source.is_constant(1)
    left = operands[0]
    for number, (step, right, product) in enumerate(zip(steps, operands[1:], names, strict=True)):
        output = source.output(0) if number == len(steps) - 1 else ""
        contraction = Contraction(maker, source.site.opset, output)
        if source.site.function is None:  # in functions no sizes are known, and weights would be repeated in each run
            left, right = contraction.as_long(left, right, step.summed), contraction.as_long(right, left, step.summed)
        sizes = _common_sizes(step, left, right)
        if not step.summed:
            name = contraction.multiply(left, right, step.result)
        else:
            sides = (right, left) if is_swapped else (left, right)
            name = contraction.contract(step, *sides, product)
        left = Operand(name, step.result, sizes)


def _operand(source: Source, index: int, labels: tuple[str, ...]) -> Operand:
    sizes = source.dimensions(index) or (None,) * len(labels)
    if len(sizes) != len(labels):
        raise Refused(f"expected operand {index} of {len(labels)} dimensions, got {len(sizes)}")
    return Operand(source.input(index), labels, dict(zip(labels, sizes, strict=True)))


def _product_names(steps: list[Equation]) -> list[str]:
    """Return "" for the only product; "product_0", "product_1" and so on where there are several."""
    if sum(bool(step.summed) for step in steps) == 1:
        return [""] * len(steps)
    return [f"product_{number}" for number in range(len(steps))]


def _common_sizes(step: Equation, left: Operand, right: Operand) -> dict[str, int | None]:
    """Return the sizes of the result's axes; refuse a sum over an axis of two sizes other than 1."""
    for label in step.summed:
        sizes = {left.sizes.get(label), right.sizes.get(label)} - {None, 1}
        if len(sizes) > 1:
            raise Refused(f"sums over {label!r}, whose sizes differ: {', '.join(map(str, sorted(sizes, key=str)))}")
    return {label: _larger(left.sizes.get(label, 1), right.sizes.get(label, 1)) for label in step.result}


def _larger(first: int | None, second: int | None) -> int | None:
    """Return the size of an axis that one operand may have in size 1."""
    if first is None or second is None:
        return first if second == 1 else second if first == 1 else None
    return max(first, second)
