"""The text that a REPL and a notebook show for objects that contain arrays, functions and long tuples."""

import functools
import re
from typing import Any

import jax
import numpy as np
import optax

import jaxcnn
from jaxcnn import data, models, train
from jaxcnn import functional as F

EXPLANATION = F.explain_conv((8, 56, 56, 128), (3, 3, 1, 128), feature_group_count=128, platform="cpu")


@functools.cache
def made() -> dict[str, Any]:
    digits = data.load("digits")
    experiment = train.Experiment(
        **train.classification(models.create("lenet5")),
        data=digits,
        optimizer=optax.sgd(0.1),
        epochs=3,
        batch_size=32,
    )
    return {
        "Split": digits.train,
        "Dataset": digits,
        "Experiment": experiment,
        "Trained": train.Trained(experiment=experiment, variables={"params": {"a": np.zeros((99, 99))}}, step=3),
        "Summary": jaxcnn.summary("resnet18", (1, 224, 224, 3)),
        "ConvExplanation": EXPLANATION,
        "ConvChoice": EXPLANATION.forward,
        "BatchStats": F.batch_stats(512),
    }


def test_a_repr_is_short_and_names_its_class() -> None:
    for name, each in made().items():
        text = repr(each)
        assert text.startswith(f"{name}(") and text.count("(") == text.count(")")
        assert len(text) < 800 and len(text.splitlines()) < 25 and max(map(len, text.splitlines())) <= 125
        assert "[0 0" not in text and "0 at 0x" not in text, "neither numbers of arrays nor addresses"


def test_what_a_repr_says() -> None:
    assert repr(made()["Split"]) == "Split(image=uint8[1437,32,32,1], label=int32[1437])"
    assert "class_names=('0', '1', '2', ... 10 entries)" in repr(made()["Dataset"])
    shown = repr(made()["Experiment"])
    assert "objective=objective" in shown and "epochs=3" in shown and "ema_decay" not in shown, "defaults are left out"
    assert "image=uint8[1437,32,32,1]" in shown
    assert "variables={'params': ...}" in repr(made()["Trained"])
    assert repr(made()["BatchStats"]) == "BatchStats(mean=float32[512], var=float32[512], count=float32[])"
    summary = repr(made()["Summary"]).replace("\N{MULTIPLICATION SIGN}", "x")
    assert summary.startswith("Summary(ResNet, input 1x224x224x3, 41 layers, 11,689,512 parameters, ")
    assert re.match(
        r"^ConvChoice\('shifted', 'it has the lowest estimate', \d+ candidates\)$", repr(made()["ConvChoice"])
    )


def test_statistics_in_a_traced_function() -> None:
    seen = []
    jax.eval_shape(lambda stats: seen.append(repr(stats)), made()["BatchStats"])
    assert seen == [repr(made()["BatchStats"])]


def test_tables_in_a_notebook() -> None:
    summary = made()["Summary"]
    rows = summary._repr_html_().split("<tr>")[2:]
    assert len(rows) == len(summary.rows()) and "<td>11,689,512</td>" in rows[-1]
    choice = made()["ConvChoice"]
    assert choice._repr_html_().count("<tr>") == len(choice.candidates) + 1
    assert "<caption>shifted: it has the lowest estimate</caption>" in choice._repr_html_()
    table = made()["Dataset"]._repr_html_()
    assert (
        "<td>train</td><td>1,437</td><td>image: uint8[1437,32,32,1], label: int32[1437]</td>" in table
        and "10 classes (0, 1, 2" in table
    )
    for name in ("Experiment", "Trained"):
        assert f"<caption>{name}</caption>" in made()[name]._repr_html_()
    assert "<td>epochs</td><td>3</td>" in made()["Experiment"]._repr_html_()
    split = made()["Dataset"].train
    names = ("<b>", *map(str, range(9)))
    assert "&lt;b&gt;" in data.Dataset(name="x", train=split, test=split, class_names=names)._repr_html_()
