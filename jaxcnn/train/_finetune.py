"""Starting from trained variables: which are copied, which are frozen, and the learning rate of each."""

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import optax

from jaxcnn._error_context import error_context
from jaxcnn._hints import did_you_mean

Tree = Mapping[str, Any]


def start_from(fresh: Tree, trained: Tree, *, keep_fresh: Sequence[str] = ()) -> Any:
    """The trained variables, except those whose path matches a pattern, which stay freshly initialised.

    A path is written with slashes from the collection on, as ``params/output/kernel``; patterns are those of a shell,
    in which ``*`` also crosses slashes.

    Args:
        fresh: variables of the model to be trained, from ``model.init``.
        trained: variables of the model that was trained, from ``load_trained`` or ``models.load_torch``.
        keep_fresh: patterns of paths, such as ``["params/output/*"]`` for a new head.

    Raises:
        ValueError: a pattern that matches nothing; or variables that are missing among the trained ones, are unused,
            or have another shape, by name. Nothing is left out silently.

    >>> import jax.numpy as jnp
    >>> old = {"params": {"conv": {"kernel": jnp.ones(2)}, "output": {"kernel": jnp.ones((2, 5))}}}
    >>> new = {"params": {"conv": {"kernel": jnp.zeros(2)}, "output": {"kernel": jnp.zeros((2, 3))}}}
    >>> start_from(new, old, keep_fresh=["params/output/*"])["params"]["conv"]
    {'kernel': Array([1., 1.], dtype=float32)}
    """
    wanted, given = _by_path(fresh), _by_path(trained)
    kept = {path for pattern in keep_fresh for path in _matches(pattern, wanted)}
    needed = {path: leaf for path, leaf in wanted.items() if path not in kept}
    missing = sorted(needed.keys() - given.keys())
    extra = sorted(given.keys() - wanted.keys())
    shapes = [
        f"{path} is {given[path].shape} where {leaf.shape} is wanted"
        for path, leaf in needed.items()
        if path in given and given[path].shape != leaf.shape
    ]
    if missing or extra or shapes:
        parts = [
            *([f"missing: {', '.join(missing)}"] if missing else []),
            *([f"not in the model: {', '.join(extra)}"] if extra else []),
            *([f"of another shape: {', '.join(shapes)}"] if shapes else []),
        ]
        raise ValueError(
            f"the trained variables do not fit the model; {'; '.join(parts)}. "
            f"Name what is to stay freshly initialised in keep_fresh."
        )
    chosen = [leaf if path in kept else given[path] for path, leaf in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(fresh), chosen)


def by_pattern(
    groups: Mapping[str, optax.GradientTransformation], rest: optax.GradientTransformation
) -> optax.GradientTransformation:
    """An optimizer that applies to each parameter the transformation of the first pattern that matches its path.

    ``by_pattern({"conv*": frozen(), "output/*": optax.adam(1e-3)}, optax.adam(1e-4))`` does not change the convolutions
    and gives the head ten times the learning rate of the other parameters. Frozen parameters have no optimizer state.

    Args:
        groups: pattern to transformation; paths have slashes and begin below ``params``.
        rest: for parameters that no pattern matches.

    Raises:
        ValueError: when the optimizer is initialised, a pattern that matches nothing; the nearest path is suggested.

    >>> import jax.numpy as jnp
    >>> params = {"conv": {"kernel": jnp.ones(1)}, "output": {"kernel": jnp.ones(1)}}
    >>> optimizer = by_pattern({"conv/*": frozen()}, optax.sgd(0.5))
    >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
    >>> optax.apply_updates(params, updates)["conv"], optax.apply_updates(params, updates)["output"]
    ({'kernel': Array([1.], dtype=float32)}, {'kernel': Array([0.5], dtype=float32)})
    """

    @error_context("by_pattern")
    def labels(params: Any) -> Any:
        paths = _by_path(params)
        for pattern in groups:
            _matches(pattern, paths)
        decided = [next((p for p in groups if fnmatch.fnmatchcase(path, p)), "") for path in paths]
        return jax.tree.unflatten(jax.tree.structure(params), decided)

    return optax.multi_transform({**groups, "": rest}, labels)


def frozen() -> optax.GradientTransformation:
    """An optimizer whose updates are 0, for parameters that do not change, also not by weight decay.

    >>> import jax.numpy as jnp
    >>> frozen().update({"kernel": jnp.ones(2)}, frozen().init({}))[0]
    {'kernel': Array([0., 0.], dtype=float32)}
    """
    return optax.set_to_zero()


def _by_path(tree: Any) -> dict[str, Any]:
    leaves, _ = jax.tree.flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _matches(pattern: str, paths: Mapping[str, Any]) -> list[str]:
    found = fnmatch.filter(paths, pattern) if pattern else []
    if not found:
        raise ValueError(f"no variable matches {pattern!r}. {did_you_mean(pattern, paths)}")
    return found
