"""The variables of a model as shapes alone, from a trace in which no parameter is drawn.

To trace how parameters would be drawn is half of the work of tracing a model, and Flax does it once more whenever it
compares the shape of a parameter with what its initializer would give.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import linen
from jax.core import ShapedArray
from jax.extend.core import Primitive

# Where the initializers of JAX are written, those that are functions and those that functions make.
JAX_INITIALIZERS = {each.__module__ for each in (jax.nn.initializers.zeros, jax.nn.initializers.lecun_normal())}

_blank = Primitive("jaxcnn_blank")
_blank.def_abstract_eval(lambda *, aval: aval)


def abstract_variables(model: linen.Module, x: jax.ShapeDtypeStruct, options: Mapping[str, Any]) -> Any:
    """Shapes of the variables that ``model.init`` would make for ``x``."""
    blank = BlankParameters()

    def init(x: jax.Array) -> Any:
        with linen.intercept_methods(blank.intercept):
            return model.init(keys(), x, **options)

    return jax.eval_shape(init, x)


def keys() -> dict[str, jax.Array]:
    """The random keys that any model is given."""
    return {"dropout": jax.random.key(0), "params": jax.random.key(0)}


class BlankParameters:
    """An interceptor of Flax under which no parameter is drawn, and none is drawn again to compare its shape."""

    def __init__(self) -> None:
        self.types: dict[Any, Any] = {}

    def intercept(self, call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        """Gives the module, for as long as it lives, a ``param`` of its own."""
        object.__setattr__(context.module, "param", functools.partial(self.param, context.module))
        return call(*args, **kwargs)

    def param(
        self, module: linen.Module, name: str, init: Callable[..., Any], *args: Any, unbox: bool = True, **kwargs: Any
    ) -> Any:
        """What ``module.param`` would give, of the same shape."""
        if module.has_variable("params", name):
            value: Any = module.get_variable("params", name)
            return linen.meta.unbox(value) if unbox else value

        def draw(_: jax.Array) -> Any:
            return jax.tree.map(_blank_like, self.type_of(functools.partial(init, *args, **kwargs)))

        return type(module).param(module, name, draw, unbox=unbox)

    def type_of(self, init: functools.partial[Any]) -> Any:
        """Shapes of what an initializer gives; equal layers ask once."""
        asked: Any = (init.func, init.args, tuple(init.keywords.items()))
        try:
            return self.types[asked]
        except KeyError:
            found = self.types[asked] = _drawn(init)
            return found
        except TypeError:  # an argument without a hash, an array say
            return _drawn(init)


def _drawn(init: functools.partial[Any]) -> Any:
    """Shapes of what an initializer gives: JAX's own what they are asked for, others what a trace of them says.

    With this kind of key the fewest operations are traced.
    """
    shape, dtype = init.args if len(init.args) == 2 and not init.keywords else (None, None)
    if dtype is not None and getattr(init.func, "__module__", "") in JAX_INITIALIZERS:
        return jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(dtype))
    return jax.eval_shape(lambda: init.func(jax.random.key(0, impl="rbg"), *init.args, **init.keywords))


def _blank_like(kind: jax.ShapeDtypeStruct) -> jax.Array:
    return _blank.bind(aval=ShapedArray(kind.shape, kind.dtype))
