"""The arithmetic of the report, checked on made-up numbers with known results."""

import json
from pathlib import Path

import pytest

from docs.bench.page import main, page, policy_tables, read_notes
from docs.bench.targets import TARGETS, slower_than_stock, table
from jaxcnn.bench._report import machine, report, summary
from jaxcnn.bench._runner import Result, is_wrong
from jaxcnn.cli._bench_tables import markdown, row, step_rows, summary_rows
from tests.bench.conftest import made

STEP = {"kind": "step", "family": "training step", "gradient_error": 1e-4, "gradient_limit": 1e-2}
RESULTS = [
    made("a", "forward", ours=1.0, stock=2.0, torch=1.0),
    made("b", "forward", ours=1.0, stock=8.0),
    made("c", "kernel_grad", ours=2.0, stock=1.0, torch=0.5, family="grouped"),
    made("mobilenet_v2", "step", ours=1.0, stock=6.0, torch=0.5, **STEP),
]


def test_summary() -> None:
    found = summary(RESULTS)
    conv = found["kinds"]["conv"]
    assert conv["entries"] == 3
    assert conv["stock/ours"] == pytest.approx((2 * 8 * 0.5) ** (1 / 3))
    assert conv["ours/torch"] == pytest.approx((1 * 4) ** (1 / 2))  # over the entries that PyTorch has
    assert (conv["slowest"], conv["slowest stock/ours"]) == ("c kernel_grad", 0.5)
    assert found["classes"]["dense forward"]["stock/ours"] == pytest.approx(4.0)
    assert list(found["classes"]) == ["dense forward", "grouped kernel_grad"]
    step = found["steps"]["mobilenet_v2"]
    assert step["stock/ours"] == 6.0 and step["ours/torch"] == 2.0 and step["stock/accelerated"] is None
    assert step["compile time, ours/stock"] == pytest.approx(1.5) and step["memory, ours/stock"] == pytest.approx(1.5)
    assert found["wrong"] == []


def test_rows() -> None:
    assert [cell.strip() for cell in row(RESULTS[2])] == [
        *("c", "kernel_grad", "xla", "2", "1", "0.5", "0.5", "4", "0e+00")
    ]
    assert row(RESULTS[1])[5].strip() == "" and row(RESULTS[1])[7].strip() == ""
    assert summary_rows(summary(RESULTS))[0][-1] == "c kernel_grad 0.5"
    assert step_rows(summary(RESULTS)) == [["mobilenet_v2", "6", "", "2", "1.5", "", "1.5"]]
    assert markdown(["a"], [["1"]]) == "| a |\n| --- |\n| 1 |"


@pytest.mark.parametrize(
    "changes", [{"error": 2e-5}, {"error": float("nan")}, {"error": float("inf")}, {"gradient_error": 0.1} | STEP]
)
def test_a_wrong_result_is_named(changes: dict) -> None:
    changes = {**STEP, **changes} if "gradient_error" not in changes else {**changes, "gradient_error": 0.1}
    wrong = made("bad", "forward", ours=1.0, stock=1.0, **changes)
    assert is_wrong(wrong)
    assert summary([*RESULTS, wrong])["wrong"] == ["bad forward"]
    assert "WRONG" in row(wrong)[-1]


def test_report_is_json_and_names_the_machine() -> None:
    about = machine(torch=False)
    assert {"processor", "cores", "memory_gib", "versions", "date"} <= set(about)
    assert set(about["versions"]) == {"jaxcnn", "jax", "jaxlib", "flax", "numpy"}
    found = json.loads(json.dumps(report(RESULTS, machine=about)))
    assert set(found) == {"machine", "summary", "results"} and set(found["summary"]) == {"median", "min"}


def test_targets_are_compared_with_the_results() -> None:
    verdicts = {target.key: (value, verdict) for target, value, verdict in table(RESULTS, statistic="median")}
    assert verdicts["mobilenet-v2"] == (6.0, "reached")
    assert verdicts["convolutions"][1] == "not reached" and verdicts["slowest"] == (0.5, "not reached")
    assert verdicts["torch-steps"] == (2.0, "not reached")
    assert verdicts["compile-time"][1] == "reached" and verdicts["memory"][1] == "not reached"
    assert "max-pool" not in verdicts  # nothing was measured
    assert slower_than_stock(RESULTS, statistic="median") == ["c kernel_grad 0.5"]
    assert len({target.key for target in TARGETS}) == len(TARGETS)


def released(jax_version: str, results: list[Result] = RESULTS) -> dict:
    about = machine(torch=False)
    return report(results, machine=about | {"versions": about["versions"] | {"jax": jax_version}})


def test_page_has_every_entry_and_the_notes() -> None:
    notes = read_notes("## slowest\nThe bytes go *here*.\n")
    text = page([released("2.0")], notes, picture="bench.png")
    assert "| c | kernel_grad | xla | 2 | 1 | 0.5 | 0.5 | 4 | 0e+00 |" in text
    assert "target at least 0.95. Below 0.95 are, with JAX 2.0: c kernel_grad 0.5.** The bytes go *here*." in text
    assert "**Memory of a step, ours / stock, the highest: 1.5 with JAX 2.0; target at most 1.3.**" in text
    assert "![bars](bench.png)" in text and "| mobilenet_v2 | 6 |" in text
    assert "MobileNetV2: 6" not in text  # the target is reached, and there is no note
    with pytest.raises(ValueError, match=r"bench\.page: there is no target nonsense\."):
        page([released("2.0")], {"nonsense": ""})


def test_releases_of_jax_are_columns() -> None:
    text = page([released("2.0"), released("1.0", [each for each in RESULTS if each["kind"] != "step"])])
    assert "| figure | target | JAX 2.0, medians | minima | JAX 1.0, medians | minima |" in text
    assert "| stock / ours of the slowest convolution | at least 0.95 | 0.5 | 0.5 | 0.5 | 0.5 |" in text
    assert "| stock / ours, step of MobileNetV2 | at least 5 | **6** | 6 |  |  |" in text
    assert "the slowest convolution: 0.5 with JAX 2.0, 0.5 with JAX 1.0; target" in text


def test_the_page_is_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    docs = Path(__file__).parent.parent.parent / "docs"
    files = [str(docs / "bench" / f"jax-{release}.json") for release in ("0.12", "0.10")]
    names = ("notes.md", "above_torch.json", "steps_avx512.json", "freed_memory.json", "freed_memory_two_cores.json")
    notes, above, avx512, *policies = (str(docs / "bench" / name) for name in names)
    words = ["--notes", notes, "--picture", "images/bench.png", "--above-torch", above, "--avx512", avx512]
    main([*files, *words, "--policies", *policies])
    assert capsys.readouterr().out == (docs / "bench.md").read_text(encoding="utf-8")


def test_policies_have_times_memory_and_a_mean_over_pytorch() -> None:
    fast = {"milliseconds": 2.0, "megabytes": 400.0}
    slow = {"milliseconds": 4.0, "megabytes": 300.0}
    steps = {"lenet5": {"ours": fast, "torch": slow}, "resnet": {"ours": slow, "torch": slow}}
    one_core = {"versions": {"jax": "0.12"}, "cores": 1, "steps": steps}
    text = policy_tables([one_core])
    assert "Tuned" not in text
    assert text.splitlines()[-7:] == [
        "Measured on one core with jax 0.12:",
        "",
        "| step | ours | PyTorch | ours, MB | PyTorch, MB |",
        "| --- | --- | --- | --- | --- |",
        "| `lenet5` | 2 | 4 | 400 | 300 |",
        "| `resnet` | 4 | 4 | 300 | 300 |",
        "| mean over PyTorch | 0.707 | 1 |  |  |",
    ]
    tuned = {name: {**found, "ours, tuned": fast} for name, found in steps.items()}
    text = policy_tables([one_core, {"versions": {"jax": "0.12"}, "cores": 2, "steps": tuned}])
    assert text.count('"Tuned" selects algorithms by a table') == 1
    assert text.index("Measured on one core") < text.index("Measured on 2 cores with jax 0.12:")
