# SPDX-License-Identifier: GPL-3.0-or-later
"""The quadratic problem that every linear fit comes to, with unknowns of every kind."""

import numpy as np
import pytest
from scipy.optimize import minimize

from backend.face.linear_fit import bounded_minimum


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("held", [0, 3], ids=["none held", "some held"])
@pytest.mark.parametrize("bounded", [0, 5], ids=["none bounded", "some bounded"])
def test_the_minimum_is_that_of_a_plain_search(seed: int, held: int, bounded: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(12, 10))
    hessian, slope = root.T @ root, 5 * rng.normal(size=10)
    low, high = np.full(10, -np.inf), np.full(10, np.inf)
    order = rng.permutation(10)
    limited, fixed = order[:bounded], order[5 : 5 + held]
    low[limited], high[limited] = -0.1, 0.2
    low[fixed] = high[fixed] = rng.normal(size=held)
    found = bounded_minimum(hessian, slope, low, high)
    searched = minimize(
        lambda x: 0.5 * x @ hessian @ x + slope @ x,
        np.clip(np.zeros(10), low, high),
        jac=lambda x: hessian @ x + slope,
        bounds=list(zip(low, high, strict=True)),
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 10_000},
    )
    np.testing.assert_allclose(found, searched.x, atol=1e-4)
    np.testing.assert_array_equal(found[fixed], low[fixed])
