# SPDX-License-Identifier: GPL-3.0-or-later
"""The forward map's parts: least squares, a basis, and sums of it."""

import torch

from backend.model.forward_map import ForwardMap, factored, in_steps, ridge


def test_ridge_without_strength_is_least_squares() -> None:
    torch.manual_seed(0)
    inputs, wanted = torch.randn(20, 4), torch.randn(4, 3)
    torch.testing.assert_close(ridge(inputs, inputs @ wanted, 0.0), wanted, rtol=0, atol=1e-5)


def test_ridge_shrinks_as_its_formula_says() -> None:
    inputs = torch.tensor([[1.0], [2.0], [2.0]])  # X'X = 9
    torch.testing.assert_close(ridge(inputs, 3 * inputs, 0.5), torch.tensor([[3 / 1.5]]))


def test_a_factored_map_is_the_same_map_over_an_orthonormal_basis() -> None:
    torch.manual_seed(0)
    true = torch.linalg.qr(torch.randn(12, 3)).Q.T
    by_code = ((torch.randn(30, 3) * torch.tensor([1.0, 9, 3])) @ true).unflatten(1, (4, 3))
    linear, basis = factored(by_code)
    assert (linear.shape, basis.shape) == ((30, 3), (3, 4, 3))  # no more than there are
    flat = basis.flatten(1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.tensordot(linear, basis, 1), by_code, rtol=0, atol=1e-4)
    assert (flat @ true.T).abs().argmax(1).tolist() == [1, 2, 0]  # the strongest first


def test_codes_move_vertices_along_the_bases() -> None:
    mean = torch.tensor([[0.0, 0, 0], [1, 0, 0]])
    up = torch.tensor([[[0.0, 1, 0], [0, 1, 0]]]).half()
    out = torch.tensor([[[0.0, 0, 1], [0, 0, 0]]]).half()
    forward = ForwardMap(
        identity_mean=torch.tensor([0.5, 0.5]),
        neutral_expression=torch.tensor([1.0]),
        identity_linear=torch.tensor([[2.0], [0.0]]),
        expression_linear=torch.tensor([[4.0]]),
        identity_basis=up,
        expression_basis=out,
        residual_basis=torch.tensor([[[127, 0, 0], [-127, 0, 0]]], dtype=torch.int8),
        residual_scale=torch.tensor([0.5 / 127]),
        mean=mean,
    )
    assert torch.equal(forward.neutral(torch.tensor([0.5, 0.5])), mean)
    raised = forward.neutral(torch.tensor([1.0, 9.0]))
    assert torch.equal(raised, torch.tensor([[0.0, 1, 0], [1, 1, 0]]))
    added = forward.expressed(torch.tensor([1.25]))
    assert torch.equal(added, torch.tensor([[0.0, 0, 1], [0, 0, 0]]))
    assert torch.equal(forward.expressed(torch.tensor([1.0])), torch.zeros(2, 3))
    apart = forward.neutral(torch.tensor([1.0, 9.0]), torch.tensor([2.0]))
    torch.testing.assert_close(apart, raised + torch.tensor([[1.0, 0, 0], [-1, 0, 0]]))


def test_steps_are_as_fine_as_a_direction_allows() -> None:
    basis = torch.tensor([[[12.7, 0.0, -6.35]], [[0.0, 0.0254, 0.01]], [[0.0, 0.0, 0.0]]])
    steps, sizes = in_steps(basis)
    torch.testing.assert_close(sizes[:2], torch.tensor([0.1, 0.0002]))
    assert steps[:2].tolist() == [[[127, 0, -64]], [[0, 127, 50]]]
    assert torch.equal(steps[2], torch.zeros(1, 3, dtype=torch.int8))


def test_many_directions_add_up() -> None:
    torch.manual_seed(0)
    basis, linear, code = torch.randn(21, 5, 3).half(), torch.randn(4, 21), torch.randn(4)
    zero, steps = torch.zeros(4), torch.zeros(1, 5, 3, dtype=torch.int8)
    forward = ForwardMap(
        zero, zero, linear, linear, basis, basis[:, :1], steps, zero[:1], torch.zeros(5, 3)
    )
    wanted = torch.tensordot(code @ linear, basis.float(), 1)
    torch.testing.assert_close(forward.neutral(code), wanted)
