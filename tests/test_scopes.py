"""Names are resolved through nested graphs, and uses are counted in all of them."""

import numpy as np
import onnx
from onnx import helper
from small_models import branching_model, constant, function_model, model, tensor

from lba_onnx.rewrite.scopes import walk_scopes


def test_branches_see_the_main_graph_and_are_counted():
    scopes = list(walk_scopes(branching_model()))
    assert [scope.outer is None for scope in scopes] == [True, False, False]
    main, then, _ = scopes
    assert then.owner("a") is main
    assert main.uses("a") == 1
    assert main.uses("x") == 3  # ReduceSum, and a MatMul in each branch
    assert np.array_equal(onnx.numpy_helper.to_array(main.constant("a")), np.eye(2))


def test_a_name_of_the_branch_hides_that_of_the_main_graph():
    proto = branching_model()
    branch = next(a.g for a in proto.graph.node[-1].attribute if a.name == "then_branch")
    branch.initializer.append(constant("a", np.zeros((2, 2), np.float32)))
    main, *branches = walk_scopes(proto)
    then = next(scope for scope in branches if scope.body is branch)
    assert then.owner("a") is then
    assert main.uses("a") == 0
    assert then.uses("a") == 1


def test_functions_see_only_their_own_names():
    function = list(walk_scopes(function_model()))[1]
    assert function.outer is None
    assert function.owner("x") is None
    assert np.array_equal(onnx.numpy_helper.to_array(function.constant("w")), 2 * np.eye(2))


def test_a_graph_output_counts_as_a_use():
    node = helper.make_node("Identity", ["w"], ["y"], "identity")
    proto = model([node], [], [tensor("y", 2), tensor("w", 2)], {"w": np.ones(2, np.float32)})
    assert next(walk_scopes(proto)).uses("w") == 2


def test_an_initializer_that_may_be_fed_is_no_constant():
    node = helper.make_node("Identity", ["w"], ["y"], "identity")
    proto = model([node], [tensor("w", 2)], [tensor("y", 2)], {"w": np.ones(2, np.float32)})
    assert next(walk_scopes(proto)).constant("w") is None
