"""A linear classifier of the C-cells of a neocognitron."""

from docs.reports.report import Report, markdown, per_cent, read_results

FEATURES = {"learned": "C-cells, learned", "untrained": "C-cells, random weights", "pixels": "pixels"}


def report() -> Report:
    """Table of the page."""
    variants = read_results("neocognitron_digits")["variants"]
    rows = [
        [FEATURES[name], str(each["seeds"]), per_cent([run["test/accuracy"] for run in each["runs"]])]
        for name, each in variants.items()
    ]
    return Report(tables={"accuracies": markdown(["features of the classifier", "seeds", "test accuracy"], rows)})
