"""One grammar carries the texts of all kinds, later ones too; errors name the character and the nearest text."""

import json

import pytest
from click.testing import CliRunner

from lba_onnx import native
from lba_onnx.arithmetic import as_spec, parse_family
from lba_onnx.arithmetic.grammar import read_text
from lba_onnx.cli import main


@pytest.mark.parametrize(
    ("text", "levels", "options"),
    [
        ("M7E4b12/M7E4b10,chunk=16,round=nearest", ["M7E4b12", "M7E4b10"], ["chunk=16", "round=nearest"]),
        ("M7E4b12/M7E4b10/M10E5b15,chunk=9x8", ["M7E4b12", "M7E4b10", "M10E5b15"], ["chunk=9x8"]),
        ("fp16-fma,product=exact,range=infinity", ["fp16-fma"], ["product=exact", "range=infinity"]),
        ("M5E6b31,tree=16,round=stochastic8", ["M5E6b31"], ["tree=16", "round=stochastic8"]),
        ("fp16-fma,subnormals=keep", ["fp16-fma"], ["subnormals=keep"]),
        ("splitk4(fp16-fma,chunk=8)/M10E5b15,chunk=2", ["splitk4(fp16-fma,chunk=8)", "M10E5b15"], ["chunk=2"]),
        ("splitk2(splitk4(a/b,c=1)),d=2", ["splitk2(splitk4(a/b,c=1))"], ["d=2"]),
        ("sm90-e4m3-fp32", ["sm90-e4m3-fp32"], []),
    ],
)  # fmt: skip
def test_texts_are_taken_apart(text: str, levels: list[str], options: list[str]) -> None:
    read = read_text(text)
    assert [part.text for part in read.levels] == levels
    assert [option.part.text for option in read.options] == options
    for part in (*read.levels, *(option.part for option in read.options)):
        assert text[part.start :].startswith(part.text)


@pytest.mark.parametrize(
    ("text", "character", "nearest"),
    [
        ("M7E4b10,chunks=16", 9, "chunk=16"),
        ("M7E4b10, underflow=of", 10, "underflow=off"),
        ("M7E4b12/M30E4b10", 9, "M22E4b10"),
        ("M7E4b200", 1, "M7E4b126"),
        ("M7E9b10", 1, "M7E7b10"),
        ("M7E4b10,round=nearst", 9, "round=nearest"),
    ],
)
def test_an_error_names_the_character_and_the_nearest_text(text: str, character: int, nearest: str) -> None:
    with pytest.raises(ValueError, match=rf"the nearest is '{nearest}'\), at character {character} of the spec"):
        as_spec(text)


@pytest.mark.parametrize(
    ("text", "character"),
    [("fp16-fma,foo=1", 10), ("wang2018, chunk=0", 11), ("fp12-sr99", 1), ("fp16-fma,range=infinity,product=no", 25)],
)
def test_an_error_quotes_a_name_as_it_was_said(text: str, character: int) -> None:
    with pytest.raises(ValueError, match=f"at character {character} of the spec '{text}'$"):
        as_spec(text)


def test_a_family_is_a_text_without_biases() -> None:
    family = parse_family("M7E4, round=nearest, chunk=32")
    assert str(family) == "M7E4,chunk=32,round=nearest"
    assert str(as_spec(family.with_bias(10))) == "M7E4b12/M7E4b10,chunk=32,round=nearest"
    assert as_spec("M7E4b12/M7E4b9,chunk=32,round=nearest").family_text == str(family)
    assert as_spec("M7E4b12/M8E4b9").family_text is None
    with pytest.raises(ValueError, match="expected a family of formats such as 'M7E4', without a bias"):
        parse_family("M7E4b10")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_kinds_are_listed_with_an_example_each() -> None:
    listed = json.loads(run("kinds", "--json"))["kinds"]
    assert [kind["kind"] for kind in listed] == ["chunked-float", "kulisch", "splitk", "integer"]
    for kind in listed:
        assert as_spec(kind["example"]).kind == kind["kind"]
        assert kind["example"] in run("kinds")


def test_kinds_tell_the_path_that_computes_each_example() -> None:
    examples = {row["spec"]: row["path"] for row in json.loads(run("kinds", "--json"))["examples"]}
    assert examples["M7E4b12/M7E4b10"] == native.cpu_path()
    assert examples["M7E4b12/M7E4b10,round=stochastic8"] == native.cpu_path()
    assert examples["kulisch"] == examples["kulisch(float16)"] == native.cpu_path()
    assert {"fp16-fma", "wang2018", "int16-wrap", "x86-u8s8"} <= set(examples)


def test_explain_says_what_an_accumulator_is_in_numbers() -> None:
    text = run("explain", "M7E4b10,round=nearest")
    for said in ("M7E4b12/M7E4b10,round=nearest", "12 bits (1 sign, 4 exponent, 7 mantissa)", "±63.75", "0.000976562",
                 "to nearest", "chunks of 16 products", "ones stop counting at 63.75"):  # fmt: skip
        assert said in text
    told = json.loads(run("explain", "M10E5b15,chunk=none", "--json"))
    assert told["accumulator"] == "M10E5b15/M10E5b15,chunk=none"
    assert told["explained"]["adding 1"].endswith(" 2048")
    result = CliRunner().invoke(main, ["explain", "M7E4"])
    assert result.exit_code == 1
    assert "expected an exponent bias" in result.stderr
