"""Einsum, whole and taken apart: equal but for the rounding of float32, for equations of every form."""

import string
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lowered_models import check_equal, lowered, one_node, refusal, run
from onnx import helper

import lba_onnx
from lba_onnx.rewrite import convert

U = 2.0**-24
SIZES = {letter: size for letter, size in zip(string.ascii_letters, [2, 3, 4, 5, 2, 3] * 9, strict=False)}
EQUATIONS = [
    "ij,jk->ik", "ij,jk", "ij,kj->ik", "ji,jk->ik", "ij,jk->ki", "i,i->", "i,i", "ij,j->i", "j,jk->k", "ij,ij->",
    "ij,ij->i", "bij,bjk->bik", "bij,bkj->bik", "bij,bjk->ikb", "bhid,bhjd->bhij", "bhij,bhjd->bihd",
    "bsd,dhk->bshk", "bshk,hkd->bsd", "bshk,dhk->bsd", "abcd,cdef->abef", "abcd,dcfe->efab", "abc,acd->bd",
    "abc,abc->b", "ij,jk,kl->il", "ij,jk,kl,lm->im", "ij,kl,jk->il", "i,j,ij->", "ijk,jk->i", "ijk,jl->kl",
    "...ij,...jk->...ik", "...ij,jk->...ik", "ij,...jk->...ik", "...ij,...jk", "a...j,j...b->a...b", "...j,j->...",
    "ab,ac->bc", "aB,Bc->ac", " i j , j k -> i k ", "ij,k,jk->ik", "bij,bj,b->bi",
]  # fmt: skip


def operands(equation: str, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    return [rng.standard_normal(shape_of(term)).astype(np.float32) for term in terms]


def shape_of(term: str) -> list[int]:
    head, dots, tail = term.partition("...")
    return [*(SIZES[c] for c in head), *([3, 2] if dots else []), *(SIZES[c] for c in tail)]


def model_of(equation: str, given: Sequence[np.ndarray], opset: int = 17, constant: int | None = None):
    names = [f"x{index}" for index in range(len(given))]
    node = helper.make_node("Einsum", names, ["y"], "einsum", equation=equation)
    arrays = dict(zip(names, given, strict=True))
    constants = {name: arrays.pop(name) for name in names[constant:][:1]} if constant is not None else {}
    return one_node(node, arrays, constants, opset=opset), arrays


def rounding(equation: str, given: Sequence[np.ndarray]) -> np.ndarray:
    """Return how far two float32 evaluations may be apart, whatever their order.

    Each product of factors is rounded at most once a factor, each sum of n terms at most n times: in all within
    gamma_m of the sum of magnitudes, with m the number of all values that are summed and multiplied.
    """
    magnitudes = np.einsum(equation.replace(" ", ""), *(np.abs(x).astype(np.float64) for x in given))
    m = len(given) + max(1, int(np.prod([x.size for x in given]) / max(1, magnitudes.size)))
    return 2 * m * U / (1 - m * U) * magnitudes


@pytest.mark.parametrize("equation", EQUATIONS)
@pytest.mark.parametrize("opset", [12, 17])
def test_equation_taken_apart_gives_what_it_gives_whole(equation: str, opset: int):
    given_operands = operands(equation)
    model, feeds = model_of(equation, given_operands, opset)
    apart = check_equal(model, feeds, rounding(equation, given_operands))
    assert any(node.op_type == "MatMul" for node in apart.graph.node)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_equation_with_unknown_sizes_gives_the_same(equation: str):
    given_operands = operands(equation)
    model, feeds = model_of(equation, given_operands)
    for value in model.graph.input:
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            dimension.dim_param = f"{value.name}_{axis}"
    check_equal(model, feeds, rounding(equation, given_operands))


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_any_contraction_of_two_operands_gives_the_same(data: st.DataObject):
    letters = data.draw(st.permutations("abcdefg"))
    sums = letters[: data.draw(st.integers(1, 2))]
    rest = letters[len(sums) :]
    left, right = (data.draw(st.lists(st.sampled_from(rest), unique=True, max_size=3)) for _ in range(2))
    first = data.draw(st.permutations([*sums, *left]))
    second = data.draw(st.permutations([*sums, *right]))
    kept = data.draw(st.lists(st.sampled_from(sorted({*left, *right})), unique=True)) if left or right else []
    equation = f"{''.join(first)},{''.join(second)}->{''.join(kept)}"
    given_operands = operands(equation, data.draw(st.integers(0, 100)))
    constant = data.draw(st.sampled_from([None, 0, 1]))
    model, feeds = model_of(equation, given_operands, constant=constant)
    check_equal(model, feeds, rounding(equation, given_operands))


@pytest.mark.parametrize("shapes", [((1, 2, 3), (4, 3, 5)), ((4, 2, 3), (1, 3, 5))])
def test_axes_of_size_1_are_repeated(shapes: tuple[tuple[int, ...], tuple[int, ...]]):
    rng = np.random.default_rng(0)
    given_operands = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    for equation in ("bij,bjk->bik", "...ij,...jk->...ik"):
        model, feeds = model_of(equation, given_operands)
        check_equal(model, feeds, rounding(equation, given_operands))


@pytest.mark.parametrize("open_inputs", ["", "x0 x1 x2", "x0", "x1"])
@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", ((2, 1), (5, 3))),
        ("ijk,jl->l", ((2, 1, 3), (5, 3))),
        ("ij,jk->ik", ((2, 5), (1, 3))),
        ("abc,abd->cd", ((1, 6, 2), (6, 1, 3))),
        ("bij,bij->b", ((4, 1, 5), (1, 3, 5))),
        ("ij,jk,kl->il", ((2, 1), (4, 3), (1, 2))),
    ],
)
def test_summed_axes_of_size_1_are_repeated(equation: str, shapes: tuple[tuple[int, ...], ...], open_inputs: str):
    rng = np.random.default_rng(0)
    given_operands = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    model, feeds = model_of(equation, given_operands)
    for value in (value for value in model.graph.input if value.name in open_inputs.split()):
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            dimension.dim_param = f"{value.name}_{axis}"
    check_equal(model, feeds, rounding(equation, given_operands))


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("...ij,...jk->...ik", ((3, 2, 4, 5), (2, 5, 3))),
        ("...ij,...jk->...ik", ((4, 5), (1, 2, 5, 3))),
        ("i...,i...->...", ((4, 3, 2), (4, 2))),
    ],
)
def test_dots_may_stand_for_more_axes_in_one_operand(equation: str, shapes: tuple[tuple[int, ...], ...]):
    """Onnxruntime refuses what ONNX allows here: NumPy is what to compare with."""
    rng = np.random.default_rng(0)
    given_operands = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    model, feeds = model_of(equation, given_operands)
    expected = np.einsum(equation, *(x.astype(np.float64) for x in given_operands))
    assert np.all(np.abs(run(lowered(model)[0], feeds)[0] - expected) <= rounding(equation, given_operands))


@pytest.mark.parametrize(
    ("equation", "shapes", "expected"),
    [
        ("ij->ji", [(2, 3)], "has one operand: it adds or moves values, and multiplies none"),
        ("ii,ij->j", [(2, 2), (2, 3)], "takes a diagonal: 'ii,ij->j' has a letter twice in one operand"),
        ("i,j->ij", [(2,), (3,)], "multiplies without a sum over what it multiplies"),
        ("ij,ij->ij", [(2, 3), (2, 3)], "multiplies without a sum over what it multiplies"),
        ("ij,jk->ik", [(2, 4), (3, 2)], "sums over 'j', whose sizes differ: 3, 4"),
        ("...j,...j->j", [(2, 3), (2, 3)], "sums over the dots of '...j,...j->j'"),
    ],
)
def test_refusals_say_why(equation: str, shapes: list[tuple[int, ...]], expected: str):
    model, _ = model_of(equation, [np.ones(shape, np.float32) for shape in shapes])
    assert refusal(model) == expected


def test_dots_of_an_operand_of_unknown_rank_are_a_reason_to_stay():
    model, _ = model_of("...j,jk->...k", operands("...j,jk->...k"))
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert "not known" in refusal(model)


def test_products_of_several_steps_have_names_of_their_own():
    model, _ = model_of("ij,jk,kl->il", operands("ij,jk,kl->il"))
    _, report = convert(model, "M7E4b10")
    assert [(e.node, e.op_type) for e in report.converted] == [
        ("einsum/product_0", "Einsum"),
        ("einsum/product_1", "Einsum"),
    ]


@pytest.mark.parametrize(("equation", "constant"), [("bjk,kj->b", None), ("kj,bjk->b", 0), ("jk,bjk->b", None)])
def test_sums_run_in_the_order_of_the_first_operand(equation: str, constant: int | None):
    given_operands = operands(equation)
    model, feeds = model_of(equation, given_operands, constant=constant)
    converted, _ = convert(model, "M3E4b10")
    first, second = equation.partition("->")[0].split(",")
    order = first.replace("b", "")
    x, w = sorted(zip((first, second), given_operands, strict=True), key=lambda side: "b" not in side[0])
    x, w = (np.einsum(f"{term}->{'b' * ('b' in term)}{order}", array) for term, array in (x, w))
    x, w = (array.reshape(-1, SIZES["j"] * SIZES["k"]) for array in (x, w))
    y = lba_onnx.make_session(converted).run(None, feeds)[0]
    np.testing.assert_array_equal(y, lba_onnx.matmul(x, w.T, "M3E4b10")[:, 0])


def test_weights_on_the_left_become_the_operand_on_the_right():
    model, _ = model_of("dk,bsd->bsk", operands("dk,bsd->bsk"), constant=0)
    converted, _ = convert(model, "M7E4b10")
    (node,) = (node for node in converted.graph.node if node.op_type == "LbaMatMul")
    assert list(node.input) == ["x1", "x0"]


@pytest.mark.parametrize("equation", ["ab,bcd->acd", "ab,bcd->cda", "ab,ab->a", "abc,bc->a", "abc,abc->a"])
def test_an_empty_axis_beside_sizes_that_are_known_stays_empty(equation: str):
    given = [
        x[:0] if term.startswith("a") else x for x, term in zip(operands(equation), equation.split(","), strict=True)
    ]
    model, feeds = model_of(equation, given)
    for value in model.graph.input:
        if value.type.tensor_type.shape.dim[0].dim_value == 0:
            value.type.tensor_type.shape.dim[0].dim_param = "a"
    converted, _ = convert(model, "M7E4b10")
    (found,) = lba_onnx.make_session(converted).run(None, feeds)
    assert found.shape == np.einsum(equation, *given).shape
