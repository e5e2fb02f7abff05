# SPDX-License-Identifier: GPL-3.0-or-later
"""The data of a training step, and a GPU's record of what is done with it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from .cache import Batch
from .passers_by import Passage


@dataclass
class StepData:
    """Everything that is drawn for a step."""

    batch: Batch
    neutral: Passage | None
    expressive: Passage | None


D = TypeVar("D")


def tensors(data: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested dataclasses."""
    if isinstance(data, Tensor):
        yield data
    elif is_dataclass(data):
        for field in fields(data):
            yield from tensors(getattr(data, field.name))


def mapped(function: Callable[[Tensor], Tensor], data: D) -> D:
    """Return nested dataclasses with every tensor replaced by the function of it."""
    if isinstance(data, Tensor):
        return function(data)  # type: ignore[return-value]
    if not is_dataclass(data):
        return data
    changed = {f.name: mapped(function, getattr(data, f.name)) for f in fields(data)}
    return replace(data, **changed)  # type: ignore[type-var]


class Record:
    """A step's kernels, recorded once and replayed on other data: Python would otherwise take
    longer to launch a thousand of them than a GPU to run them.

    Parameters
    ----------
    learn : callable
        Does the step; its data and its result stay on the device, of the same shapes every time.
    data : StepData
    stream : torch.cuda.Stream
        On which ``learn`` has been called before.
    rough : bool
        The precision that is recorded.
    """

    def __init__(
        self,
        learn: Callable[[StepData], Tensor],
        data: StepData,
        stream: torch.cuda.Stream,
        rough: bool,
    ) -> None:
        self.rough = rough
        self._data = mapped(torch.clone, data)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=stream):
            self._result = learn(self._data)

    def __call__(self, data: StepData) -> Tensor:
        """Do the step with ``data``; its result is overwritten by the next one."""
        for ours, theirs in zip(tensors(self._data), tensors(data), strict=True):
            ours.copy_(theirs)
        self._graph.replay()
        return self._result
