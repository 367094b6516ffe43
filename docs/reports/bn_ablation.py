"""The table of the batch norm paper: five Inception networks, and one of sigmoids without batch norm."""

import functools
from pathlib import Path

from docs.reports.report import Report, markdown, read_results, runs_of
from jaxcnn.models import PAPER_RUNS
from jaxcnn.vis import Panel, draw_panels

BASELINE = "inception_2015"
History = dict[str, list[float]]


def report() -> Report:
    """Tables and picture of the page."""
    histories: dict[str, History] = {name: runs[0]["history"] for name, runs in runs_of("bn_ablation").items()}
    goal = max(histories[BASELINE]["test/accuracy"])
    best = {name: 100 * max(history["test/accuracy"]) for name, history in histories.items()}
    trials = read_results("bn_ablation/learning_rates")["variants"].values()
    rates = [
        [f"{each['settings']['learning_rate']:g}", f"{100 * each['test/accuracy']['mean']:.1f} %"] for each in trials
    ]
    rows = []
    for name, history in histories.items():
        paper = PAPER_RUNS.get(name)
        paper_steps = f"{paper.steps} million" if paper and paper.steps else "never"
        paper_best = f"{paper.accuracy} %" if paper else "chance"
        rows.append([f"`{name}`", steps_to(goal, history), f"{best[name]:.2f} %", paper_steps, paper_best])
    head = [
        "network",
        f"steps to {100 * goal:.1f} %",
        "best accuracy",
        "steps in the paper",
        "best in the paper",
    ]
    return Report(
        tables={"rates": markdown(["learning rate", "accuracy"], rates), "networks": markdown(head, rows)},
        phrases=[
            f"{best['bn_baseline'] - best[BASELINE]:.0f} percentage points",
            f"{best['bn_x5'] - best['bn_baseline']:.0f} points more",
            f"stay at {best['inception_sigmoid']:.0f} %",
            f"reach {best['bn_x5_sigmoid']:.0f} %",
        ],
        figures={"bn_ablation.png": functools.partial(draw, histories)},
    )


def steps_to(goal: float, history: History) -> str:
    """The first evaluated step at which the accuracy is at least the goal."""
    there = [step for step, value in zip(history["step"], history["test/accuracy"], strict=True) if value >= goal]
    return f"{there[0]:,.0f}" if there else "never"


def draw(histories: dict[str, History], path: Path) -> None:
    """Test accuracies of networks of rectifiers, and of networks of sigmoids."""

    def panel(title: str, *names: str) -> Panel:
        lines = {name: [[100 * value for value in histories[name]["test/accuracy"]]] for name in names}
        return Panel(title=title, over="step", places=histories[BASELINE]["step"], lines=lines)

    draw_panels(
        [
            panel("Test accuracy (%)", BASELINE, "bn_baseline", "bn_x5", "bn_x30"),
            panel("With sigmoids (%)", "bn_x5_sigmoid", "inception_sigmoid"),
        ],
        path,
    )
