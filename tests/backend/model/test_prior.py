# SPDX-License-Identifier: GPL-3.0-or-later
"""The Gaussian of the codes has their mean and covariance."""

import torch

from backend.model.prior import CodePrior, fit_prior


def test_known_answer() -> None:
    codes = torch.tensor([[1.0, 4, 0], [1, 0, 0], [2, 2, 0], [0, 2, 0]])
    prior = fit_prior(codes)
    torch.testing.assert_close(prior.mean, torch.tensor([1.0, 2, 0]))
    wanted = torch.tensor([[2 / 3, 0, 0], [0, 8 / 3, 0], [0, 0, 0]])
    torch.testing.assert_close(prior.factor @ prior.factor.T, wanted, rtol=1e-5, atol=1e-6)
    spread = prior.factor.norm(dim=0)
    assert torch.equal(spread.argsort(descending=True), torch.arange(3))


def test_drawn_codes_have_the_training_codes_statistics() -> None:
    torch.manual_seed(0)
    codes = torch.randn(200, 4) @ torch.randn(4, 4) + torch.tensor([1.0, -2, 3, 0])
    prior = fit_prior(codes)
    drawn = prior.code(torch.randn(100_000, 4))
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), rtol=0, atol=0.05)
    torch.testing.assert_close(drawn.T.cov(), codes.T.cov(), rtol=0.02, atol=0.1)
    assert torch.equal(prior.code(torch.zeros(4)), prior.mean)


def test_fewer_codes_than_dimensions_span_only_themselves() -> None:
    torch.manual_seed(0)
    codes = torch.randn(3, 10)
    drawn = fit_prior(codes).code(torch.randn(5, 10)) - codes.mean(0)
    plane = (codes - codes.mean(0))[:2]
    inside = plane.T @ torch.linalg.lstsq(plane.T, drawn.T).solution
    torch.testing.assert_close(inside, drawn.T, rtol=0, atol=1e-4)


def test_it_moves_to_a_device() -> None:
    prior = CodePrior(torch.zeros(2), torch.eye(2)).to(torch.device("meta"))
    assert (prior.mean.device.type, prior.factor.device.type) == ("meta", "meta")
