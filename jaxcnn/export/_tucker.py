"""Tucker-2: a convolution as a 1x1 convolution to fewer maps, its window between few maps, and a 1x1 convolution.

The kernel ``(a, b, in, out)`` is approximated by ``sum over r, s of U[in, r] G[a, b, r, s] V[out, s]`` with orthonormal
``U`` and ``V``, found by alternating singular value decompositions (higher-order orthogonal iteration; De Lathauwer, De
Moor and Vandewalle, On the best rank-1 and rank-(R1, ..., RN) approximation of higher-order tensors, 2000). For inputs
whose channels have the second moments ``C = L L^T`` the approximated tensor is ``L^T`` times the kernel. For a 1x1
window the kernel is a matrix, and this is its truncated singular value decomposition.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcnn.export._factors import ONE, factor, pair, root_of, unreachable
from jaxcnn.export._operations import Operation, Value, constant
from jaxcnn.export._portable import multiply_adds_of

ROUNDS = 20  # of the iteration, which changes little after the first few


@dataclasses.dataclass(frozen=True, eq=False)
class TuckerBasis:
    """The data of a layer from which its ranks are chosen.

    Attributes:
        layer: the convolution.
        kernel: ``L^T`` times the kernel, ``(a, b, in, out)``.
        inverse: of ``L^T``.
        losses: for the input and the output channels, the share of the energy that each rank from 1 on leaves out.
    """

    layer: Operation
    kernel: np.ndarray
    inverse: np.ndarray
    losses: tuple[np.ndarray, np.ndarray]

    @staticmethod
    def of(layer: Operation, moments: np.ndarray) -> "TuckerBasis":
        """The basis for second moments of the inputs over columns of the window, ``(a * in, a * in)``."""
        kernel = np.asarray(layer.inputs[1].array, np.float64)
        height, _, inner, _ = kernel.shape
        of_channels = np.einsum("aiaj->ij", moments.reshape(height, inner, height, inner)) / height
        root, inverse = root_of(of_channels)
        weighted = np.einsum("ij,abjo->abio", root, kernel)
        return TuckerBasis(layer, weighted, inverse, (_losses(weighted, 2), _losses(weighted, 3)))

    def ranks(self, loss: float) -> tuple[int, int]:
        """The smallest ranks with at most this loss of energy of the input and of the output channels."""
        inner, outer = (int(np.argmax(each <= loss)) + 1 for each in self.losses)
        return inner, outer

    def cost(self, inner: int, outer: int) -> int:
        """Multiply-adds with these ranks."""
        height, width, channels, maps = self.kernel.shape
        if height == width == 1:
            return int(inner * (channels + maps) * self.layer.outputs[0].shape[1] * self.layer.outputs[0].shape[2])
        before, after = (value.shape[1] * value.shape[2] for value in (self.layer.inputs[0], self.layer.outputs[0]))
        down = channels * inner * before if inner < channels else 0
        up = outer * maps * after if outer < maps else 0
        return int(down + height * width * inner * outer * after + up)

    def parts(self, inner: int, outer: int) -> list[Operation]:
        """The convolutions with these ranks."""
        layer, (height, width, channels, maps) = self.layer, self.kernel.shape
        x, kernel, *bias = layer.inputs
        result, dtype = layer.outputs[0], kernel.dtype
        down, core, up = tucker2(self.kernel, inner, outer)
        down, found = self.inverse @ down, list[Operation]()
        if height == width == 1:  # where both ranks are equal
            return pair(layer, (down[None, None], core @ up.T), result.shape[2], ({}, ONE))
        if inner < channels:
            small = Value((*x.shape[:-1], inner), result.dtype)
            found.append(factor(layer, (x, constant(down[None, None].astype(dtype))), small, ONE))
            x = small
        else:
            core = np.einsum("ir,abrs->abis", down, core)
        if outer == maps:
            core = np.einsum("abrs,os->abro", core, up)
            return [*found, factor(layer, (x, constant(core.astype(dtype)), *bias), result, {})]
        middle = Value((*result.shape[:-1], outer), result.dtype)
        found.append(factor(layer, (x, constant(core.astype(dtype))), middle, {}))
        last = constant(up.T[None, None].astype(dtype))
        return [*found, factor(layer, (middle, last, *bias), result, ONE)]


def _losses(kernel: np.ndarray, axis: int) -> np.ndarray:
    """The share of a tensor's energy outside of its first singular vectors along an axis, for each number from 1 on."""
    values = np.linalg.svd(_unfolded(kernel, axis), compute_uv=False) ** 2
    left = np.concatenate([np.cumsum(values[::-1])[::-1][1:], [0.0]])
    missing = np.zeros(kernel.shape[axis] - len(values))  # more channels than entries of the other axes
    return np.concatenate([left / max(values.sum(), 1e-300), missing])


def _unfolded(kernel: np.ndarray, axis: int) -> np.ndarray:
    return np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)


def tucker2(kernel: np.ndarray, inner: int, outer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``U (in, R)``, ``G (a, b, R, S)`` and ``V (out, S)`` of a kernel ``(a, b, in, out)``.

    >>> kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 5))
    >>> u, core, v = tucker2(kernel, 4, 5)
    >>> bool(np.allclose(np.einsum("ir,abrs,os->abio", u, core, v), kernel))
    True
    """

    def leading(tensor: np.ndarray, axis: int, rank: int) -> np.ndarray:
        vectors: np.ndarray[Any, Any] = np.linalg.svd(_unfolded(tensor, axis), full_matrices=True)[0][:, :rank]
        return vectors

    v = leading(kernel, 3, outer)
    for _ in range(ROUNDS):
        u = leading(np.einsum("abio,os->abis", kernel, v), 2, inner)
        v = leading(np.einsum("abio,ir->abro", kernel, u), 3, outer)
    return u, np.einsum("abio,ir,os->abrs", kernel, u, v), v


def tucker_layers(bases: Sequence[TuckerBasis], total: int, budget: float) -> list[list[Operation] | None]:
    """The convolutions that replace each layer, or None if it is not replaced, so that the program meets the budget.

    Raises:
        ValueError: even the lowest ranks have more multiply-adds.
    """
    if not bases and budget < 1 and total:
        raise unreachable(budget, 1.0)
    if not bases:
        return []
    full = [multiply_adds_of(basis.layer) for basis in bases]

    def costs(loss: float) -> list[int]:
        return [min(basis.cost(*basis.ranks(loss)), whole) for basis, whole in zip(bases, full, strict=True)]

    def share(loss: float) -> float:
        return (total - sum(full) + sum(costs(loss))) / total

    steps = np.unique(np.concatenate([[0.0], *(each for basis in bases for each in basis.losses)]))
    first, last = 0, len(steps) - 1
    if share(steps[last]) > budget:
        raise unreachable(budget, share(steps[last]))
    while first < last:  # the least loss within the budget
        middle = (first + last) // 2
        first, last = (first, middle) if share(steps[middle]) <= budget else (middle + 1, last)
    ranks = [basis.ranks(steps[first]) for basis in bases]
    return [
        basis.parts(*each) if basis.cost(*each) < whole else None
        for basis, each, whole in zip(bases, ranks, full, strict=True)
    ]
