"""Kernels of six methods without labels, and trained kernels, with the same linear classifier on MNIST.

One stage of Jarrett et al. (2009): 64 kernels of 9x9, tanh, absolute value, local contrast normalisation, and means
over 5x5 positions; then a linear classifier, the only part that is trained with labels. The kernels are random;
designed by hand (edges and waves in eight orientations); the centroids of k-means on whitened patches; a dictionary of
sparse coding; the encoder of predictive sparse decomposition; or those of a convolutional RBM. They are learned from
all training images. In ``trained`` they are trained with the classifier, and ``pixels`` has none. The variants have
1,000 labels, or all of them (``_all``).

run     jaxcnn repeat kernels_compared_mnist --seeds 3  (MNIST prepared by tensorflow-datasets; see docs/your_data.md)
cost    0:52 a run on 1 core
result  pixels: 88.32 ± 0.10 % test accuracy, 11.68 ± 0.10 % error over 3 seeds
result  random: 96.13 ± 0.06 % test accuracy, 3.87 ± 0.06 % error over 3 seeds
result  handmade: 96.94 ± 0.08 % test accuracy, 3.06 ± 0.08 % error over 3 seeds
result  kmeans: 96.55 ± 0.11 % test accuracy, 3.45 ± 0.11 % error over 3 seeds
result  sparse: 96.14 ± 0.10 % test accuracy, 3.86 ± 0.10 % error over 3 seeds
result  psd: 95.89 ± 0.16 % test accuracy, 4.11 ± 0.16 % error over 3 seeds
result  crbm: 96.39 ± 0.21 % test accuracy, 3.61 ± 0.21 % error over 3 seeds
result  trained: 96.87 ± 0.12 % test accuracy, 3.13 ± 0.12 % error over 3 seeds
result  pixels_all: 92.21 ± 0.06 % test accuracy, 7.79 ± 0.06 % error over 3 seeds
result  random_all: 98.65 ± 0.13 % test accuracy, 1.35 ± 0.13 % error over 3 seeds
result  handmade_all: 98.76 ± 0.01 % test accuracy, 1.24 ± 0.01 % error over 3 seeds
result  kmeans_all: 98.53 ± 0.01 % test accuracy, 1.47 ± 0.01 % error over 3 seeds
cost    not known (several starts, or a busy machine), NVIDIA H200
result  crbm_all: 98.89 ± 0.05 % test accuracy, 1.11 ± 0.05 % error over 3 seeds
result  psd_all: 98.28 ± 0.06 % test accuracy, 1.72 ± 0.06 % error over 3 seeds
result  sparse_all: 98.34 ± 0.05 % test accuracy, 1.66 ± 0.05 % error over 3 seeds
result  trained_all: 99.15 ± 0.04 % test accuracy, 0.85 ± 0.04 % error over 3 seeds
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import jax
import jax.numpy as jnp
import optax
from flax import linen
from jax import lax

from jaxcnn import data, models, train
from jaxcnn.unsupervised import (
    CRBM,
    filter_bank,
    init_psd,
    kmeans,
    learn_dictionary,
    normalize_contrast,
    psd_loss,
    random_patches,
    zca_whitening,
)

Kernels = Literal["pixels", "random", "handmade", "kmeans", "sparse", "psd", "crbm", "trained"]
VARIANTS = {
    f"{kernels}{suffix}": {"kernels": kernels, "labels": labels, "epochs": epochs}
    for suffix, labels, epochs in (("", 1000, 40), ("_all", None, 3))
    for kernels in get_args(Kernels)
}
PATCHES, WINDOW, FEATURES = 20_000, 9, 64
# For patches with pixels in [0, 1]; most of a digit's patches have a large contrast.
CONTRAST = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    kernels: Annotated[Kernels, "how the kernels of the first layer are chosen"] = "random"
    labels: Annotated[int | None, "labelled images, the first ones; None for all"] = 1000
    epochs: Annotated[int, "passes over the labelled images"] = 40
    batch_size: Annotated[int, "images of a step"] = 100
    lr: Annotated[float, "learning rate after the warm-up"] = 3e-3
    weight_decay: Annotated[float, "decoupled decay of the classifier and of trained kernels"] = 1e-2
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    seed: Annotated[int, "determines kernels, order and patches"] = 0


class Pixels(linen.Module):
    """A linear classifier of the pixels."""

    num_classes: int

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits of images."""
        return linen.Dense(self.num_classes, name="head")(x.reshape(len(x), -1))


def unit(kernel: jax.Array) -> jax.Array:
    """Kernels of length 1 and mean 0, so that all are compared at one scale."""
    kernel = kernel - kernel.mean((0, 1, 2), keepdims=True)
    return kernel / jnp.maximum(jnp.sqrt((kernel**2).sum((0, 1, 2), keepdims=True)), 1e-6)


def learned(kernels: Kernels, key: jax.Array, images: jax.Array) -> jax.Array:
    """The kernel ``(9, 9, 1, 64)`` that is learned from images in [0, 1] without labels, or made by hand."""
    shape = (WINDOW, WINDOW, 1, FEATURES)
    patch_key, key = jax.random.split(key)
    if kernels == "random":
        return jax.random.normal(key, shape)
    if kernels == "handmade":
        return filter_bank(shape[:2], wavelengths=(3.0, 4.5, 6.0, 9.0), orientations=FEATURES // 8)
    if kernels == "crbm":
        return crbm_kernel(key, images)
    patches = random_patches(patch_key, images, window_shape=shape[:2], count=PATCHES)
    flat = normalize_contrast(patches.reshape(PATCHES, -1), epsilon=CONTRAST)
    whitening = zca_whitening(flat)
    white = whitening(flat)
    if kernels == "kmeans":
        return (whitening.matrix @ kmeans(key, white, k=FEATURES, rounds=20).T).reshape(shape)
    examples = white.reshape(PATCHES, *shape[:3])
    if kernels == "sparse":
        return whitened(whitening.matrix, learn_dictionary(key, examples, features=FEATURES, penalty=0.5, rounds=15))
    return whitened(whitening.matrix, psd_encoder(key, examples))


def whitened(matrix: jax.Array, kernel: jax.Array) -> jax.Array:
    """The kernel that computes from a patch what ``kernel`` computes from the whitened patch."""
    return (matrix @ kernel.reshape(len(matrix), -1)).reshape(kernel.shape)


def psd_encoder(key: jax.Array, examples: jax.Array) -> jax.Array:
    """The encoder of predictive sparse decomposition, after 400 steps of Adam."""
    optimizer = optax.adam(3e-3)

    def step(carry: Any, key: jax.Array) -> tuple[Any, None]:
        params, state = carry
        batch = examples[jax.random.randint(key, (100,), 0, len(examples))]
        gradient = jax.grad(lambda params: psd_loss(params, batch, penalty=0.5).mean())(params)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    init_key, key = jax.random.split(key)
    params = init_psd(init_key, (WINDOW, WINDOW), channels=1, features=FEATURES)
    (params, _), _ = lax.scan(step, (params, optimizer.init(params)), jax.random.split(key, 400))
    return params["encoder"]


def crbm_kernel(key: jax.Array, images: jax.Array) -> jax.Array:
    """The kernel of a convolutional RBM, after 400 steps of contrastive divergence."""
    crbm = CRBM(window_shape=(WINDOW, WINDOW), features=FEATURES)
    optimizer = optax.sgd(0.3, momentum=0.9)

    def step(carry: Any, key: jax.Array) -> tuple[Any, None]:
        params, state = carry
        draw_key, key = jax.random.split(key)
        batch = crbm.crop(images[jax.random.randint(draw_key, (20,), 0, len(images))])
        gradient = jax.grad(lambda params: crbm.loss(key, params, batch, target=0.02, sparsity=1.0)[0].mean())(params)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    init_key, key = jax.random.split(key)
    params = crbm.init(init_key, scale=0.1, activation=0.02)
    params["visible_bias"] -= 2  # most pixels are 0
    (params, _), _ = lax.scan(step, (params, optimizer.init(params)), jax.random.split(key, 400))
    return params["kernel"]


def build(config: Config) -> train.Experiment:
    """The run that a config describes."""
    mnist = data.hold_out(data.load("mnist", data_dir=config.data_dir), one_in=config.hold_out)
    unlabelled = mnist.train["image"]
    mnist = dataclasses.replace(mnist, train=mnist.train.take(slice(config.labels)))
    stage = models.ContrastStage(features=FEATURES, kernel_size=WINDOW, pool_window=5, pool_strides=5)
    classes = len(mnist.class_names)
    model: Any = models.ContrastNet(num_classes=classes, stages=[stage])
    if config.kernels == "pixels":
        model = Pixels(classes)

    def choose(variables: Mapping[str, Any]) -> dict[str, Any]:
        """The variables with the kernels that are chosen before the first step."""
        if config.kernels == "pixels":
            return dict(variables)
        kernels: Kernels = "random" if config.kernels == "trained" else config.kernels
        key = jax.random.fold_in(jax.random.key(config.seed), 1)
        kernel = unit(learned(kernels, key, train.to_unit(jnp.asarray(unlabelled))))
        params = variables["params"]
        stage1 = {**params["stage1"], "filters": {"kernel": kernel}}
        return {**variables, "params": {**params, "stage1": stage1}}

    steps = config.epochs * data.steps_per_epoch(len(mnist.train), config.batch_size)
    schedule = train.warmup_cosine(config.lr, total_steps=steps, warmup=0.1)
    adamw = train.with_schedule(optax.adamw, schedule, weight_decay=config.weight_decay)
    return train.Experiment(
        **train.classification(model),
        data=mnist,
        optimizer=adamw if config.kernels == "trained" else train.by_pattern({"head/*": adamw}, train.frozen()),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        start=choose,
        evaluate_every=config.epochs,
    )
