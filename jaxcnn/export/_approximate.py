"""Programs with fewer multiply-adds: sequences of smaller convolutions in place of full ones, and fewer filters.

A convolution with a window ``(a, b)`` is approximated by one with a window ``(a, 1)`` to ``K`` maps and one with a
window ``(1, b)`` (scheme 2 of Jaderberg, Vedaldi and Zisserman, Speeding up convolutional neural networks with low rank
expansions, 2014). With the kernel as a matrix ``M`` of ``(a * in, b * out)``, the best pair for inputs with the second
moments ``C = L L^T`` is the truncated singular value decomposition of ``L^T M``. ``_tucker.py`` has the other scheme.

If ``b`` is 1, the pair is a window ``(a, 1)`` and a 1x1 convolution, and ``x^T M`` has the least squared error: the
decomposition projects it on the first ``K`` eigenvectors ``V`` of its second moments ``M^T C M``, as ``x^T (M V) V^T``
(Zhang, Zou, He and Sun, Accelerating very deep convolutional networks for classification and detection, 2016, "Low-rank
approximation of responses", who subtract the mean before). The bias is not changed.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from jax.typing import ArrayLike

from jaxcnn._arrays import as_array
from jaxcnn._errors import check_choice
from jaxcnn.export._calibrate import check_images
from jaxcnn.export._factors import ONE, is_full, moments_of, pair, root_of, unreachable
from jaxcnn.export._fold import out_axis
from jaxcnn.export._operations import Operation, Uses, Value, constant
from jaxcnn.export._portable import PortableProgram, multiply_adds_of
from jaxcnn.export._quantize import check_floats
from jaxcnn.export._refit import refitted
from jaxcnn.export._tucker import TuckerBasis, tucker_layers

Scheme = Literal["separable", "tucker"]
# Operations that compute each channel independently.
BY_CHANNEL = ("max", "min", "clamp", "tanh", "logistic", "abs", "reduce_window_max", "average_window")


def separate(
    program: PortableProgram, images: ArrayLike, *, budget: float, scheme: Scheme = "separable"
) -> PortableProgram:
    """Replaces convolutions by sequences of smaller ones until the program has a fraction of its multiply-adds.

    ``"separable"``: a convolution with a window ``(a, b)`` becomes one with a window ``(a, 1)`` to ``K`` channels and
    one with a window ``(1, b)`` from these channels. A 1x1 convolution becomes two 1x1 convolutions with ``K`` channels
    between them, which minimize the error of the layer's outputs for these images. The ranks ``K`` of all layers are
    chosen together: singular values are removed one at a time, those with the least share of their layer's energy per
    saved multiply-add first.

    ``"tucker"``: a 1x1 convolution to ``R`` channels, the window ``(a, b)`` from these to ``S`` channels, and a 1x1
    convolution from these; the first or the last is omitted if it would not reduce the number of channels. A 1x1
    convolution becomes the same two convolutions as in the other scheme. The ranks are the smallest with which the
    input and the output channels of each layer lose at most a given fraction of their energy. This fraction is the same
    for all layers, and the smallest one that meets the budget.

    Two-dimensional convolutions without groups are replaced if the replacement has fewer multiply-adds. With either
    scheme, the last convolution of each replacement, and its bias if it has one, are then fitted by least squares,
    layer by layer: for the images, its outputs approximate the outputs of the layer in the original program. To regain
    accuracy, train the result with ``program.parameters`` and ``program.apply``; this requires a program that was
    traced for a fixed number of images.

    Args:
        program: made by ``portable``.
        images: a few hundred representative inputs of the program; they determine the weights of the errors.
        budget: the multiply-adds of the result as a fraction of those of the program, above 0 and at most 1.
        scheme: what replaces a convolution.

    Raises:
        ShapeError: images of another shape than the program reads.
        TypeError: images of another dtype, or a program of integers.
        ValueError: images of another range than the program reads, another scheme, a budget outside of (0, 1], or one
            that cannot be reached.

    Source: Jaderberg, Vedaldi and Zisserman, Speeding up convolutional neural networks with low rank expansions (2014),
    section 3.2 (scheme 2) and 3.3 (data reconstruction); Zhang, Zou, He and Sun, Accelerating very deep convolutional
    networks for classification and detection (2016), "Low-rank approximation of responses" (1x1 windows) and
    "Asymmetric reconstruction for multi-layer" (the fit of the last parts); Kim et al., Compression of deep
    convolutional neural networks for fast and low power mobile applications (2016), section 3.1 (Tucker-2).

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> from jaxcnn.export import portable
    >>> kernel, x = np.random.default_rng(0).normal(size=(3, 3, 8, 8)).astype("float32"), jnp.ones((1, 8, 8, 8))
    >>> smaller = separate(portable(lambda x: F.conv(x, kernel), (None, 8, 8, 8)), x, budget=0.5)
    >>> smaller.counts, smaller.multiply_adds / (64 * 9 * 64)
    ({'conv_general_dilated': 2}, 0.5)

    For a 1x1 convolution from 8 to 8 channels, rank 2 has half of the multiply-adds, ``8 * 2 + 2 * 8`` of ``8 * 8``:

    >>> program = portable(lambda x: F.conv(x, kernel[:1, :1]), (None, 8, 8, 8))
    >>> [each.inputs[1].shape for each in separate(program, x, budget=0.5).operations]
    [(1, 1, 8, 2), (1, 1, 2, 8)]
    """
    _check_budget(budget)
    check_floats(program)
    check_choice(scheme, get_args(Scheme), name="scheme")
    images = as_array(images, name="images")
    check_images(program, images)
    layers = [each for each in program.operations if is_full(each)]
    found = zip(layers, moments_of(program, layers, images), strict=True)
    if scheme == "tucker":
        new = tucker_layers([TuckerBasis.of(*each) for each in found], program.multiply_adds, budget)
    else:
        bases = [_Basis.of(*each) for each in found]
        ranks = _ranks(bases, program.multiply_adds, budget)
        new = [basis.pair(rank) if basis.saves(rank) else None for basis, rank in zip(bases, ranks, strict=True)]
    changed = {id(layer): parts for layer, parts in zip(layers, new, strict=True) if parts is not None}
    operations = refitted(program, changed, images)
    return dataclasses.replace(program, operations=tuple(operations))


def prune_filters(program: PortableProgram, *, budget: float) -> PortableProgram:
    """Removes the filters with the smallest kernels until the program has a fraction of its multiply-adds.

    A filter is removed together with its output channel and the part of the next kernel that reads this channel. This
    requires that a single layer reads the channel, directly or after operations on each channel, such as rectifiers and
    pools. Filters are compared by the sum of the magnitudes of their weights, relative to the mean of their layer; each
    layer keeps at least one. To regain accuracy, train the result as described in ``separate``.

    Args:
        program: made by ``portable``.
        budget: the multiply-adds of the result as a fraction of those of the program, above 0 and at most 1.

    Raises:
        TypeError: a program of integers.
        ValueError: a budget outside of (0, 1], or one that cannot be reached.

    Source: Li et al., Pruning filters for efficient convnets (2017), section 3.1.

    >>> import jax
    >>> from jaxcnn import functional as F
    >>> from jaxcnn.export import portable
    >>> first, second = (np.random.default_rng(0).normal(size=(3, 3, 8, 8)).astype("float32") for _ in range(2))
    >>> program = portable(lambda x: F.conv(jax.nn.relu(F.conv(x, first)), second), (None, 8, 8, 8))
    >>> smaller = prune_filters(program, budget=0.5)
    >>> smaller.operations[0].outputs[0].shape[-1], smaller.multiply_adds / program.multiply_adds
    (4, 0.5)
    """
    _check_budget(budget)
    check_floats(program)
    chains = _chains(program)
    scores = []
    for index, chain in enumerate(chains):
        norms = np.abs(_filter_matrix(chain[0])).sum(0)
        norms = norms / (norms.mean() or 1)  # all norms of a layer of zeros are 0
        scores += [(float(norm), index, channel) for channel, norm in enumerate(norms)]
    kept = [np.ones(chain[0].outputs[0].shape[-1], bool) for chain in chains]
    target, smaller = budget * program.multiply_adds, program
    candidates = sorted(scores)
    while smaller.multiply_adds > target * (1 + 1e-9):
        removed = 0
        while candidates and removed < max(len(scores) // 64, 1):
            _, index, channel = candidates.pop(0)
            if kept[index].sum() > 1:
                kept[index][channel] = False
                removed += 1
        if not removed:
            share = smaller.multiply_adds / program.multiply_adds
            raise ValueError(
                f"budget={budget} cannot be reached: with one filter in each layer that may lose filters "
                f"the program still has {share:.3f} of its multiply-adds."
            )
        smaller = _without_filters(program, chains, kept)
    return smaller


def _check_budget(budget: float) -> None:
    if not 0 < budget <= 1:
        raise ValueError(f"budget={budget} must be above 0 and at most 1; it is a share of the multiply-adds.")


# ---------------------------------------------------------------------------------------------- separable convolutions


@dataclasses.dataclass(frozen=True, eq=False)
class _Basis:
    """The decomposition of a layer's kernel.

    Attributes:
        layer: the convolution.
        left: ``(a * in, K)`` for all ``K``.
        right: ``(K, b * out)``, multiplied by the singular values.
        energies: the squares of the singular values, as shares of their sum.
        cost: multiply-adds of one rank.
    """

    layer: Operation
    left: np.ndarray
    right: np.ndarray
    energies: np.ndarray
    cost: int

    @staticmethod
    def of(layer: Operation, moments: np.ndarray) -> "_Basis":
        """The decomposition for a layer whose inputs have these second moments."""
        kernel = np.asarray(layer.inputs[1].array, np.float64)
        height, width, inner, outer = kernel.shape
        matrix = kernel.transpose(0, 2, 1, 3).reshape(height * inner, width * outer)
        root, inverse = root_of(moments)
        left, values, right = np.linalg.svd(root @ matrix, full_matrices=False)
        between, columns = _columns_between(layer), layer.outputs[0].shape[2]
        cost = layer.outputs[0].shape[1] * (between * height * inner + columns * width * outer)
        energies = values**2 / max((values**2).sum(), 1e-300)
        return _Basis(layer, inverse @ left, values[:, None] * right, energies, int(cost))

    def saves(self, rank: int) -> bool:
        """Whether a pair of this rank costs less than the layer."""
        return rank * self.cost < multiply_adds_of(self.layer)

    def pair(self, rank: int) -> list[Operation]:
        """The two convolutions for a rank."""
        layer, params = self.layer, self.layer.params
        height, width, inner, outer = layer.inputs[1].shape
        first = self.left[:, :rank].reshape(height, 1, inner, rank)
        second = self.right[:rank].reshape(rank, width, outer).transpose(1, 0, 2)[None]
        changes = ({}, ONE) if width == 1 else (_axis(params, 0), _axis(params, 1))
        return pair(layer, (first, second), _columns_between(layer), changes)


def _columns_between(layer: Operation) -> Any:
    """The columns between the two convolutions: a window of one column takes the strides of both axes at once."""
    return (layer.outputs if layer.inputs[1].shape[1] == 1 else layer.inputs)[0].shape[2]


def _axis(params: Any, axis: int) -> dict[str, Any]:
    """The parameters of a convolution along one spatial axis; the other one has a window of one entry."""
    keep = {"window_strides": 1, "rhs_dilation": 1, "padding": (0, 0)}
    return {name: tuple(params[name][i] if i == axis else default for i in (0, 1)) for name, default in keep.items()}


def _ranks(bases: Sequence[_Basis], total: int, budget: float) -> list[int]:
    """The rank of each layer, so that the program meets the budget.

    Raises:
        ValueError: even the lowest ranks exceed the budget.
    """
    full = [multiply_adds_of(basis.layer) for basis in bases]
    ranks = [len(basis.energies) for basis in bases]
    order = sorted(
        (energy / basis.cost, -place, index)
        for index, basis in enumerate(bases)
        for place, energy in enumerate(basis.energies)
        if place
    )
    for _, _, index in [(0, 0, None), *order]:
        if index is not None:
            ranks[index] -= 1
        costs = [min(rank * basis.cost, whole) for rank, basis, whole in zip(ranks, bases, full, strict=True)]
        if total - sum(full) + sum(costs) <= budget * total:
            return ranks
    share = (total - sum(full) + sum(costs)) / total
    raise unreachable(budget, share)


# ------------------------------------------------------------------------------------------------------- fewer filters


def _chains(program: PortableProgram) -> list[list[Operation]]:
    """For each layer that may be pruned: the layer, operations on each channel, and the only layer that reads them."""
    uses, found = Uses(program.operations, program.results), []
    for operation in program.operations:
        if not _has_plain_channels(operation):
            continue
        chain, reader = [operation], uses.only_reader(operation.outputs[0])
        while reader is not None and _is_by_channel(reader):
            chain.append(reader)
            reader = uses.only_reader(reader.outputs[0])
        if reader is not None and _has_plain_channels(reader) and reader.inputs[0] is chain[-1].outputs[0]:
            found.append([*chain, reader])
    return found


def _has_plain_channels(operation: Operation) -> bool:
    """Whether the kernel of a layer has its output channels last and its input channels before them, without groups."""
    axis = out_axis(operation)
    if axis is None or axis != len(operation.inputs[1].shape) - 1:
        return False
    if operation.name == "dot_general":
        (x_axes, kernel_axes), _ = operation.params["dimension_numbers"]
        return (x_axes, kernel_axes) == ((len(operation.inputs[0].shape) - 1,), (0,))
    numbers, last = operation.params["dimension_numbers"], len(operation.inputs[1].shape) - 1
    return operation.params["feature_group_count"] == 1 and numbers.rhs_spec[1] == last - 1


def _is_by_channel(operation: Operation) -> bool:
    """Whether an operation maps each channel of one array independently, and all of them in the same way."""
    arrays = [value for value in operation.inputs if not value.is_constant]
    same = all(value.shape in ((), (1,)) or value.shape[-1:] == (1,) for value in operation.inputs if value.is_constant)
    over_channels = operation.params.get("window_dimensions", (1,))[-1] > 1  # a pool of several channels
    return operation.name in BY_CHANNEL and len(arrays) == 1 and same and not over_channels


def _filter_matrix(layer: Operation) -> np.ndarray:
    kernel = np.asarray(layer.inputs[1].array, np.float64)
    return kernel.reshape(-1, kernel.shape[-1])


def _without_filters(
    program: PortableProgram, chains: Sequence[Sequence[Operation]], kept: Sequence[np.ndarray]
) -> PortableProgram:
    written = {id(chain[0]): mask for chain, mask in zip(chains, kept, strict=True)}
    read = {id(chain[-1]): mask for chain, mask in zip(chains, kept, strict=True)}
    middle = {id(each): mask for chain, mask in zip(chains, kept, strict=True) for each in chain[1:-1]}
    values: dict[int, Value] = {}
    operations = []
    for operation in program.operations:
        inputs = [values.get(id(value), value) for value in operation.inputs]
        if (mask := read.get(id(operation))) is not None:
            axis = len(inputs[1].shape) - 2
            inputs[1] = constant(np.compress(mask, inputs[1].array, axis))  # type: ignore[arg-type]
        outputs = operation.outputs
        mask = written.get(id(operation), middle.get(id(operation)))
        if mask is not None:
            outputs = (Value((*outputs[0].shape[:-1], int(mask.sum())), outputs[0].dtype),)
            values[id(operation.outputs[0])] = outputs[0]
        if (mask := written.get(id(operation))) is not None:
            inputs[1:] = [constant(np.compress(mask, value.array, -1)) for value in inputs[1:]]  # type: ignore[arg-type]
        operations.append(dataclasses.replace(operation, inputs=tuple(inputs), outputs=outputs))
    return dataclasses.replace(program, operations=tuple(operations))
