"""docs/operators.md against the table of operators."""

import re
from pathlib import Path

import pytest

from lba_onnx import operators

PAGE = (Path(__file__).parents[1] / "docs" / "operators.md").read_text()


def section(title: str) -> str:
    return re.split(r"^##+ ", PAGE.split(f"\n## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def documented_attributes(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, flags=re.MULTILINE))


@pytest.mark.parametrize("op_type", operators.OPERATORS)
def test_every_operator_has_a_section_with_its_inputs_and_attributes(op_type):
    schema = operators.OPERATORS[op_type]
    text = section(f"{op_type}-{operators.VERSION}")
    own = {a.name: a.type for a in (*schema.own_attributes, *schema.start_attributes)}
    assert documented_attributes(text) == own
    for index, name in enumerate(schema.inputs):
        optional = " (optional)" if index >= schema.required_inputs else ""
        assert f"\n| {name}{optional} |" in text
        if schema.takes_codes:
            assert f"\n| {name}{optional} | {schema.input_types[index]} |" in text


def test_the_shared_attributes_are_listed():
    arithmetic = PAGE.split("### Attributes of the arithmetic", 1)[1].split("### Shapes", 1)[0]
    assert documented_attributes(arithmetic) == {
        a.name: a.type for a in operators.OPERATORS["LbaMatMul"].arithmetic_attributes
    }
