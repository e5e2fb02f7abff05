# SPDX-License-Identifier: GPL-3.0-or-later
"""The codes of the training scans: what is known, mapped linearly, and a free part."""

import pytest
import torch

from backend.learn.code_table import CodeTable

COEFFICIENTS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, -2.0], [0.0, 3.0]])


@pytest.fixture
def table() -> CodeTable:
    """Return four codes of length 3 whose parts are whole numbers."""
    table = CodeTable(COEFFICIENTS, 3, 1.0)
    with torch.no_grad():
        table.directions.copy_(torch.tensor([[1.0, 2.0, 4.0], [10.0, 0.0, -10.0]]))
        table.free.copy_(torch.arange(12.0).view(4, 3))
    return table


def test_a_code_is_the_image_of_its_coefficients_and_a_free_part(table: CodeTable) -> None:
    codes, free = table(torch.tensor([2, 0, 3]))
    image = torch.tensor([[-19.5, 1.0, 22.0], [0.0, 0.0, 0.0], [30.0, 0.0, -30.0]])
    torch.testing.assert_close(free, torch.tensor([[6.0, 7, 8], [0, 1, 2], [9, 10, 11]]))
    torch.testing.assert_close(codes, image + free)


def test_directions_learn_from_every_scan_and_free_parts_from_their_own(table: CodeTable) -> None:
    slope = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    codes, _ = table(torch.tensor([1, 2, 3]))
    (codes * slope).sum().backward()
    assert table.directions.grad is not None
    assert table.free.grad is not None
    wanted = torch.tensor([[1.0, 0.5, 0.0], [0.0, -2.0, 3.0]])  # coefficients.T @ slope
    torch.testing.assert_close(table.directions.grad, wanted)
    torch.testing.assert_close(table.free.grad, torch.cat([torch.zeros(1, 3), slope]))
    assert set(dict(table.named_parameters())) == {"directions", "free"}


def test_codes_start_as_far_apart_as_their_coefficients() -> None:
    torch.manual_seed(0)
    coefficients = torch.randn(7, 4)
    coefficients[0] = 0
    codes, free = CodeTable(coefficients, 16, 0.3)(torch.arange(7))
    torch.testing.assert_close(torch.cdist(codes, codes), 0.3 * torch.cdist(*[coefficients] * 2))
    assert (codes[0] == 0).all()  # nothing known, nothing learned yet: the neutral expression
    assert (free == 0).all()


def test_without_coefficients_it_is_a_plain_embedding() -> None:
    torch.manual_seed(0)
    table = CodeTable(torch.empty(200, 0), 16, 0.3)
    assert table.directions.shape == (0, 16)
    assert float(table.free.detach().std()) == pytest.approx(0.01, rel=0.05)
    rows = torch.tensor([5, 3, 5])
    codes, free = table(rows)
    torch.testing.assert_close(codes, free)
    embedding = torch.nn.Embedding.from_pretrained(table.free.detach().clone(), freeze=False)
    assert torch.equal(codes, embedding(rows))
    codes.square().sum().backward()
    embedding(rows).square().sum().backward()
    torch.testing.assert_close(table.free.grad, embedding.weight.grad)
