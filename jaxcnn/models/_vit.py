"""The vision transformer (Dosovitskiy et al. 2020)."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._arrays import as_array
from jaxcnn._errors import ShapeError
from jaxcnn.models._layers import check_images, classifier, dropout_layer
from jaxcnn.models._registry import ModelInfo, TorchNames, register
from jaxcnn.nn import Conv

PAPER = "Dosovitskiy et al.: An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale, 2020"


class SelfAttention(nn.Module):
    """Multi-head self-attention: ``softmax(q k^T / sqrt(d)) v`` in each head (the paper's appendix A).

    Attributes:
        num_heads: number of heads, each of ``channels / num_heads``.
        dtype: type of the computation; the softmax is in float32.
    """

    num_heads: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(*batch, tokens, channels)`` to the same shape."""
        channels = x.shape[-1]
        dense = functools.partial(nn.Dense, dtype=self.dtype, kernel_init=nn.initializers.glorot_uniform())
        qkv = dense(3 * channels, name="qkv")(x)
        q, k, v = (
            part.reshape(*x.shape[:-1], self.num_heads, channels // self.num_heads)
            for part in jnp.split(qkv, 3, axis=-1)
        )
        scale = (channels // self.num_heads) ** -0.5
        weights = jnp.einsum("...qhd,...khd->...hqk", q * scale, k)
        weights = jax.nn.softmax(weights.astype(jnp.promote_types(weights.dtype, jnp.float32))).astype(v.dtype)
        return dense(channels, name="out")(jnp.einsum("...hqk,...khd->...qhd", weights, v).reshape(x.shape))


class EncoderBlock(nn.Module):
    """Attention and a perceptron of two layers, each with a norm before it and a shortcut (the paper's figure 1).

    Attributes:
        num_heads: number of heads.
        mlp_width: hidden units of the perceptron.
        dropout_rate: fraction of units dropped in training.
        dtype: type of the computation.
    """

    num_heads: int
    mlp_width: int
    dropout_rate: float
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps ``(*batch, tokens, channels)`` to the same shape."""
        norm = functools.partial(nn.LayerNorm, epsilon=1e-6, dtype=self.dtype)
        dropout = dropout_layer(self.dropout_rate, train=train)
        dense = functools.partial(
            nn.Dense,
            dtype=self.dtype,
            kernel_init=nn.initializers.glorot_uniform(),
            bias_init=nn.initializers.normal(1e-6),
        )
        x = x + dropout(SelfAttention(self.num_heads, self.dtype, name="attention")(norm(name="norm1")(x)))
        y = nn.gelu(dense(self.mlp_width, name="mlp1")(norm(name="norm2")(x)), approximate=False)
        return x + dropout(dense(x.shape[-1], name="mlp2")(dropout(y)))


class ViT(nn.Module):
    """The vision transformer: an image as a sequence of patches, with a class token.

    As in the paper and in torchvision, whose weights load: learned position embeddings are added to the patches, blocks
    are pre-norm, and the head reads only the class token and is initialised with zero. ``vit_b_16`` has 86,567,656
    parameters, ``vit_s_16`` (DeiT's small form) 22,050,664.

    Sides are multiples of the patch. The position embeddings are parameters, so a model requires the image size with
    which it was initialised. ``features`` returns ``patches`` ``(*batch, rows, columns, width)``, ``block0`` to the
    last (tokens, the class token first), ``pooled`` (the class token after the last norm) and ``logits``.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        patch: side of a patch.
        width: channels of a token.
        depth: number of blocks.
        num_heads: number of heads in each.
        mlp_width: hidden units of each block's perceptron.
        dropout_rate: fraction of units dropped in training; requires an rng named ``dropout``.

    >>> variables = jax.eval_shape(ViT().init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    86567656
    """

    num_classes: int = 1000
    dtype: DTypeLike | None = None
    patch: int = 16
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_width: int = 3072
    dropout_rate: float = 0.0

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The patches, the tokens after each block, the class token at the end, and the logits."""
        x = as_array(x, name="x")
        self._check(x.shape)
        window = (self.patch, self.patch)
        x = Conv(self.width, window, window, "VALID", dtype=self.dtype, name="patches")(x)
        outputs = {"patches": x}
        x = x.reshape(*x.shape[:-3], x.shape[-3] * x.shape[-2], self.width)
        first = self.param("class_token", nn.initializers.zeros, (self.width,)).astype(x.dtype)
        x = jnp.concatenate([jnp.broadcast_to(first, (*x.shape[:-2], 1, self.width)), x], -2)
        embeddings = self._position_embeddings(x.shape[-2]).astype(x.dtype)
        x = x + embeddings.reshape((1,) * (x.ndim - 2) + embeddings.shape)
        x = dropout_layer(self.dropout_rate, train=train)(x)
        for index in range(self.depth):
            block = EncoderBlock(self.num_heads, self.mlp_width, self.dropout_rate, self.dtype, name=f"block{index}")
            outputs[f"block{index}"] = x = block(x, train)
        norm = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm")
        outputs["pooled"] = x = norm(x)[..., 0, :]
        head = classifier(self.num_classes, dtype=self.dtype, kernel_init=nn.initializers.zeros, name="head")
        return outputs | {"logits": head(x)}

    def _check(self, shape: tuple[int, ...]) -> None:
        """Raises unless patches tile the images and the number of heads divides the channels."""
        check_images(shape, smallest=self.patch, known_because="each patch has a place of its own among the parameters")
        if any(size % self.patch for size in shape[-3:-1]):
            raise ShapeError(
                f"patches of {self.patch} do not tile images of {shape[-3]}x{shape[-2]}. "
                f"Resize or crop to multiples of {self.patch}."
            )
        if self.width % self.num_heads:
            raise ShapeError(f"num_heads={self.num_heads} does not divide width={self.width}.")

    def _position_embeddings(self, tokens: int) -> jax.Array:
        """The learned position embeddings ``(tokens, width)``; raises if the parameters are for other sizes."""
        if self.has_variable("params", "places"):
            known: int = self.get_variable("params", "places").shape[0]
            if known != tokens:
                raise ShapeError(
                    f"the parameters have places for {known - 1} patches and the class token, but these images "
                    f"have {tokens - 1} patches. Resize the images, or interpolate the parameter 'places'."
                )
        return self.param("places", nn.initializers.normal(0.02), (tokens, self.width))

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


def _torch_names(width: int) -> tuple[TorchNames, ...]:
    layer = r"encoder.layers.encoder_layer_\1"
    torchvision = TorchNames(
        source="torchvision",
        modules={
            r"patches": "conv_proj",
            r"class_token": "class_token",
            r"places": "encoder.pos_embedding",
            r"block(\d+)/norm([12])": rf"{layer}.ln_\2",
            r"block(\d+)/attention/qkv": rf"{layer}.self_attention.in_proj_{{leaf}}",
            r"block(\d+)/attention/out": rf"{layer}.self_attention.out_proj",
            r"block(\d+)/mlp1": rf"{layer}.mlp.0",
            r"block(\d+)/mlp2": rf"{layer}.mlp.3",
            r"norm": "encoder.ln",
            r"head": "heads.head",
        },
        head="head",
        shapes={"class_token": (1, 1, width), "places": (1, -1, width)},
    )
    timm = TorchNames(
        source="timm",
        modules={
            r"patches": "patch_embed.proj",
            r"class_token": "cls_token",
            r"places": "pos_embed",
            r"block(\d+)/(norm[12])": r"blocks.\1.\2",
            r"block(\d+)/attention/qkv": r"blocks.\1.attn.qkv",
            r"block(\d+)/attention/out": r"blocks.\1.attn.proj",
            r"block(\d+)/mlp([12])": r"blocks.\1.mlp.fc\2",
            r"norm": "norm",
            r"head": "head",
        },
        head="head",
        shapes={"class_token": (1, 1, width), "places": (1, -1, width)},
    )
    return torchvision, timm


# name: parameters, multiply-adds at 224x224, accuracy, sizes
FORMS: dict[str, tuple[int, int, str, dict[str, Any]]] = {
    "vit_s_16": (22_050_664, 4_598_882_304, "78.842 % ImageNet", {"width": 384, "num_heads": 6, "mlp_width": 1536}),
    "vit_b_16": (86_567_656, 17_563_828_224, "81.072 % ImageNet", {}),
}
for _name, (_parameters, _macs, _accuracy, _sizes) in FORMS.items():
    register(
        ModelInfo(
            name=_name,
            paper=PAPER,
            input_shape=(224, 224, 3),
            num_classes=1000,
            parameters=_parameters,
            macs=_macs,
            accuracy=_accuracy,
        ),
        functools.partial(ViT, **_sizes),
        torch_names=_torch_names(_sizes.get("width", 768)),
    )
