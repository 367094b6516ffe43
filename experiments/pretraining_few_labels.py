"""Does learning without labels help where labels are few? Two convolutional RBMs on MNIST, then a classifier.

Greedy layer-wise training: the first layer learns from all images without labels, then the second from the pooled maps
of the first, each as a convolutional RBM (Lee et al. 2009). Then a linear classifier learns from a few labelled images,
with the layers frozen or fine-tuned. All of these are stages of one run. The variants are random or pretrained layers,
frozen or fine-tuned, with 100, 1,000 and all labels; the number of steps of the classifier is the same in each.

run     jaxcnn repeat pretraining_few_labels --seeds 3  (MNIST prepared by tensorflow-datasets; see docs/your_data.md)
cost    1:15 a run on 1 core
result  random_frozen_100: 73.58 ± 0.10 % test accuracy, 26.42 ± 0.10 % error over 3 seeds
result  random_finetuned_100: 80.57 ± 0.50 % test accuracy, 19.43 ± 0.50 % error over 3 seeds
result  pretrained_frozen_100: 84.39 ± 0.47 % test accuracy, 15.61 ± 0.47 % error over 3 seeds
result  pretrained_finetuned_100: 83.72 ± 0.21 % test accuracy, 16.28 ± 0.21 % error over 3 seeds
result  random_frozen_1000: 85.24 ± 0.12 % test accuracy, 14.76 ± 0.12 % error over 3 seeds
result  random_finetuned_1000: 93.23 ± 0.20 % test accuracy, 6.77 ± 0.20 % error over 3 seeds
result  pretrained_frozen_1000: 94.61 ± 0.10 % test accuracy, 5.39 ± 0.10 % error over 3 seeds
result  pretrained_finetuned_1000: 94.28 ± 0.07 % test accuracy, 5.72 ± 0.07 % error over 3 seeds
result  random_frozen_all: 85.96 ± 0.13 % test accuracy, 14.04 ± 0.13 % error over 3 seeds
result  random_finetuned_all: 96.44 ± 0.09 % test accuracy, 3.56 ± 0.09 % error over 3 seeds
result  pretrained_frozen_all: 96.54 ± 0.18 % test accuracy, 3.46 ± 0.18 % error over 3 seeds
result  pretrained_finetuned_all: 97.57 ± 0.13 % test accuracy, 2.43 ± 0.13 % error over 3 seeds
"""

import dataclasses
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax

from jaxcnn import data, train
from jaxcnn.unsupervised import CRBM

VARIANTS = {
    f"{'pretrained' if pretrain else 'random'}_{'finetuned' if finetune else 'frozen'}_{labels or 'all'}": {
        "pretrain": pretrain,
        "finetune": finetune,
        "labels": labels,
    }
    for labels in (100, 1000, None)
    for pretrain in (False, True)
    for finetune in (False, True)
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    pretrain: Annotated[bool, "whether the layers learn without labels first"] = True
    finetune: Annotated[bool, "whether the layers learn with labels too"] = True
    labels: Annotated[int | None, "labelled images, the first ones; None for all"] = 1000
    features: Annotated[int, "hidden maps of each layer"] = 24
    target: Annotated[float, "mean of the hidden units that is aimed at"] = 0.02
    sparsity: Annotated[float, "weight of the penalty"] = 1.0
    images: Annotated[int | None, "training images, the first ones; None for all"] = 10_000
    pretrain_epochs: Annotated[int, "passes over the images for each layer"] = 2
    epochs: Annotated[int, "epochs of the classifier, of as many steps"] = 3
    batch_size: Annotated[int, "images of a step"] = 20
    pretrain_lr: Annotated[float, "learning rate without labels"] = 0.3
    lr: Annotated[float, "learning rate with labels, after the warm-up"] = 2e-3
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    seed: Annotated[int, "determines initial kernels, order and samples"] = 0


def build(config: Config) -> train.Experiment:
    """The run that a config describes."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    mnist = dataclasses.replace(mnist, train=mnist.train.take(slice(config.images)))
    mnist = data.hold_out(mnist, one_in=config.hold_out)
    labelled = mnist.train.take(slice(config.labels))
    first = CRBM(window_shape=(9, 9), features=config.features)
    second = CRBM(window_shape=(5, 5), features=config.features, channels=config.features)

    def hidden(params: Any, images: jax.Array) -> jax.Array:
        """The pooled maps of the first layer, as the second reads them."""
        return second.crop(first.hidden(params["first"], first.crop(images))[1])

    def logits(params: Any, images: jax.Array) -> jax.Array:
        lower = hidden(params, images)
        _, upper = second.hidden(params["second"], lower)
        features = jnp.concatenate([maps.reshape(len(images), -1) for maps in (lower, upper)], -1)
        return features @ params["head"]["kernel"] + params["head"]["bias"][None]

    def init(key: jax.Array, batch: Any) -> Any:
        keys = jax.random.split(key)
        layers = {
            name: crbm.init(key, scale=0.1, activation=config.target)
            for name, crbm, key in zip(("first", "second"), (first, second), keys, strict=True)
        }
        layers["first"]["visible_bias"] -= 2  # most pixels are 0
        lower = hidden(layers, batch["image"])
        _, upper = second.hidden(layers["second"], lower)
        size, classes = lower[0].size + upper[0].size, len(mnist.class_names)
        head = {"kernel": jnp.zeros((size, classes)), "bias": jnp.zeros(classes)}
        return {"params": {**layers, "head": head}}

    def learn_first(variables: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, train.Aux]:
        params, images = variables["params"]["first"], first.crop(batch["image"])
        loss, metrics = first.loss(key, params, images, target=config.target, sparsity=config.sparsity)
        return loss, train.Aux(metrics=metrics)

    def learn_second(variables: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, train.Aux]:
        params = variables["params"]
        maps = jax.lax.stop_gradient(hidden(params, batch["image"]))
        loss, metrics = second.loss(key, params["second"], maps, target=config.target, sparsity=config.sparsity)
        return loss, train.Aux(metrics=metrics)

    def classify(variables: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, train.Aux]:
        rows = batch["index"] % len(labelled)  # the labelled images, in the order of the epoch
        images, labels = (jnp.asarray(labelled[name])[rows] for name in ("image", "label"))
        found = logits(variables["params"], train.to_unit(images))
        losses = optax.softmax_cross_entropy_with_integer_labels(found, labels)
        return losses, train.Aux(metrics={"accuracy": found.argmax(-1) == labels})

    def evaluate(variables: Any, batch: Any) -> dict[str, jax.Array]:
        found = logits(variables["params"], batch["image"])
        losses = optax.softmax_cross_entropy_with_integer_labels(found, batch["label"])
        return {"loss": losses, "accuracy": found.argmax(-1) == batch["label"]}

    def predict(variables: Any, batch: Any) -> dict[str, jax.Array]:
        return {"probabilities": jax.nn.softmax(logits(variables["params"], batch["image"]))}

    steps = data.steps_per_epoch(len(mnist.train), config.batch_size)
    sgd = optax.sgd(config.pretrain_lr, momentum=0.9)
    schedule = train.warmup_cosine(config.lr, total_steps=config.epochs * steps, warmup=0.1)
    layers = [
        train.Stage(objective=learn_first, optimizer=sgd, epochs=config.pretrain_epochs, trains=["first/*"]),
        train.Stage(objective=learn_second, optimizer=sgd, epochs=config.pretrain_epochs, trains=["second/*"]),
    ]
    classifier = train.Stage(
        objective=classify,
        optimizer=train.with_schedule(optax.adamw, schedule, weight_decay=1e-2),
        epochs=config.epochs,
        trains=["*"] if config.finetune else ["head/*"],
    )
    return train.Experiment(
        **train.in_stages([*(layers if config.pretrain else []), classifier], steps_per_epoch=steps),
        init=init,
        evaluate=evaluate,
        predict=predict,
        data=mnist,
        batch_size=config.batch_size,
        seed=config.seed,
    )
