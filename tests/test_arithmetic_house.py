"""Only the arithmetic's own folder takes an accumulator apart; everything else knows the protocol."""

import ast
from pathlib import Path

import pytest

import lba_onnx
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.arithmetic.accumulator import Accumulator
from lba_onnx.arithmetic.registry import kinds

PACKAGE = Path(lba_onnx.__file__).parent
FIELDS = frozenset(("chunk_size", "underflow", "rounding", "product_format", "accumulator_format"))
OUTSIDE = sorted(path for path in PACKAGE.rglob("*.py") if PACKAGE / "arithmetic" not in path.parents)
_SPEC_NAMES = ("spec", "accumulator")


def taken_apart(source: str) -> list[str]:
    """Return the lines that read a field of an accumulator, or build another one from it with `replace`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in FIELDS:
            found.append(f"{node.lineno}: {ast.unparse(node)}")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("replace", "dataclasses.replace"):
            first = ast.unparse(node.args[0]) if node.args else ""
            if first.rpartition(".")[2] in _SPEC_NAMES or FIELDS & {keyword.arg for keyword in node.keywords}:
                found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def test_nothing_outside_takes_an_accumulator_apart() -> None:
    """A rounding mode would have touched about fifty files; specs were rebuilt from their fields in five places."""
    found = {str(path.relative_to(PACKAGE)): taken_apart(path.read_text()) for path in OUTSIDE}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        "x = site.spec.chunk_size",
        "if call.spec.underflow: pass",
        "y = replace(site.spec, threads=3)",
        "y = dataclasses.replace(other, underflow=False)",
        "f = node.spec.product_format.max_value",
    ],
)
def test_what_is_looked_for_is_found(line: str) -> None:
    assert taken_apart(line)


def test_the_search_reads_the_whole_package() -> None:
    assert len(OUTSIDE) > 150


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.kind)
def test_a_kind_tells_what_it_is(kind: type[Accumulator]) -> None:
    spec = lba_onnx.arithmetic.as_spec(kind.example)
    assert type(spec) is kind
    assert lba_onnx.arithmetic.as_spec(str(spec)) == spec
    assert lba_onnx.arithmetic.registry.from_json(spec.to_json()) == spec
    assert kind.summary and all(heading and text for heading, text in spec.explained())
    for cause in spec.causes:
        assert (cause.kind if not cause.place else f"{cause.place}_{cause.kind}") == cause.name
        changed = spec.without(cause.name, 100)
        assert changed is None or (changed != spec and type(changed) is kind)
    assert spec.without(spec.causes[0].name, 100) is not None


def test_specs_of_one_text_are_one() -> None:
    assert hash(AccumulatorSpec.parse("M7E4b10")) == hash(AccumulatorSpec.parse("M7E4b12/M7E4b10,chunk=16"))
