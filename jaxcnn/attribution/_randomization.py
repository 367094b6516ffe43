"""Whether an attribution depends on what a network has learned."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxcnn._arrays import ArrayLike
from jaxcnn._hints import did_you_mean


def weight_randomization(
    key: jax.Array,
    attribute: Callable[[Any], ArrayLike],
    variables: Mapping[str, Any],
    *,
    layers: Sequence[str],
) -> dict[str, float]:
    """Compares attributions before and after the weights of a network are shuffled, layer by layer.

    The parameters of the layers are permuted one layer after the other, each array within itself, and stay permuted.
    After each, the absolute attributions are compared with those of the trained network by Spearman's rank
    correlation. If a method depends on the weights, the correlation falls towards 0 with the first layers; if it stays
    near 1, the method shows the image and not what the network has learned.

    Args:
        key: of the permutations.
        attribute: variables -> attributions, such as ``lambda v: saliency(lambda x: model.apply(v, x), x, target=3)``.
        variables: of the trained network, with ``params``.
        layers: the paths of layers, or of modules that hold several, such as ``"stage3_block0"``; from the output to
            the input is usual.

    Returns:
        for each layer the correlation after this layer and the layers before it were permuted.

    Raises:
        ValueError: a layer without parameters.

    Source: Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim (2018), "Sanity checks for saliency maps", section 3.1.

    >>> import jax.numpy as jnp
    >>> variables = {"params": {"head": {"kernel": jnp.arange(4.0)}}}
    >>> weight_randomization(jax.random.key(0), lambda v: np.arange(4.0), variables, layers=["head"])
    {'head': 1.0}
    """
    from scipy.stats import spearmanr

    paths, structure = jax.tree.flatten_with_path(variables["params"])
    names = ["/".join(str(getattr(part, "key", part)) for part in path) for path, _ in paths]
    leaves = [leaf for _, leaf in paths]
    before = np.abs(np.asarray(attribute(variables), np.float64)).ravel()
    found: dict[str, float] = {}
    for layer in layers:
        places = [index for index, name in enumerate(names) if f"{name}/".startswith(f"{layer}/")]
        if not places:
            known = sorted({name.rpartition("/")[0] for name in names})
            raise ValueError(f"there are no parameters of a layer {layer!r}. {did_you_mean(layer, known)}")
        for index in places:
            key, own = jax.random.split(key)
            leaves[index] = jax.random.permutation(own, leaves[index].ravel()).reshape(leaves[index].shape)
        changed = {**variables, "params": jax.tree.unflatten(structure, leaves)}
        after = np.abs(np.asarray(attribute(changed), np.float64)).ravel()
        found[layer] = float(spearmanr(before, after).statistic)
    return found
