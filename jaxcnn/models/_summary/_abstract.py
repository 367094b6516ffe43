"""The shapes of the variables of a model, from a trace that skips the initializers.

Tracing the initializers takes half of the time of tracing a model, and Flax traces an initializer a second time to
compare the shape of a parameter with it.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import linen
from jax.core import ShapedArray
from jax.extend.core import Primitive

# The modules that define the initializers of JAX, both functions and those returned by functions.
JAX_INITIALIZERS = {each.__module__ for each in (jax.nn.initializers.zeros, jax.nn.initializers.lecun_normal())}

_blank = Primitive("jaxcnn_blank")
_blank.def_abstract_eval(lambda *, aval: aval)


def abstract_variables(model: linen.Module, x: jax.ShapeDtypeStruct, options: Mapping[str, Any]) -> Any:
    """Shapes of the variables that ``model.init`` creates for ``x``."""
    blank = BlankParameters()

    def init(x: jax.Array) -> Any:
        with linen.intercept_methods(blank.intercept):
            return model.init(keys(), x, **options)

    return jax.eval_shape(init, x)


def keys() -> dict[str, jax.Array]:
    """The random keys that are passed to a model."""
    return {"dropout": jax.random.key(0), "params": jax.random.key(0)}


class BlankParameters:
    """An interceptor of Flax methods that replaces the initializers of parameters by abstract values."""

    def __init__(self) -> None:
        self.types: dict[Any, Any] = {}

    def intercept(self, call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        """Replaces the method ``param`` of the module."""
        object.__setattr__(context.module, "param", functools.partial(self.param, context.module))
        return call(*args, **kwargs)

    def param(
        self, module: linen.Module, name: str, init: Callable[..., Any], *args: Any, unbox: bool = True, **kwargs: Any
    ) -> Any:
        """A value of the shape that ``module.param`` returns."""
        if module.has_variable("params", name):
            value: Any = module.get_variable("params", name)
            return linen.meta.unbox(value) if unbox else value

        def draw(_: jax.Array) -> Any:
            return jax.tree.map(_blank_like, self.type_of(functools.partial(init, *args, **kwargs)))

        return type(module).param(module, name, draw, unbox=unbox)

    def type_of(self, init: functools.partial[Any]) -> Any:
        """The shapes of an initializer's result, cached for equal layers."""
        call: Any = (init.func, init.args, tuple(init.keywords.items()))
        try:
            return self.types[call]
        except KeyError:
            found = self.types[call] = _shapes_of(init)
            return found
        except TypeError:  # an argument that is not hashable, such as an array
            return _shapes_of(init)


def _shapes_of(init: functools.partial[Any]) -> Any:
    """The shapes of an initializer's result: the requested shape for JAX's own, a trace for others.

    An ``rbg`` key requires the fewest traced operations.
    """
    shape, dtype = init.args if len(init.args) == 2 and not init.keywords else (None, None)
    if dtype is not None and getattr(init.func, "__module__", "") in JAX_INITIALIZERS:
        return jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(dtype))
    return jax.eval_shape(lambda: init.func(jax.random.key(0, impl="rbg"), *init.args, **init.keywords))


def _blank_like(kind: jax.ShapeDtypeStruct) -> jax.Array:
    return _blank.bind(aval=ShapedArray(kind.shape, kind.dtype))
