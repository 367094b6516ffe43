"""List the models that `models.create` creates by name, with their sizes and papers."""

import argparse

HELP = "list models"
EXAMPLES = (
    "jaxcnn models",
    "jaxcnn models 'resnet*'",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("pattern", nargs="?", default="*", help="shell pattern of names, such as 'resnet*' (all)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Prints one row for each model."""
    import dataclasses

    from jaxcnn._hints import did_you_mean
    from jaxcnn.cli._output import print_json, print_table
    from jaxcnn.models import info, list_models

    known = [info(name) for name in list_models(options.pattern)]
    if not known:
        hint = did_you_mean(options.pattern.strip("*?"), list_models())
        raise ValueError(f"no model's name matches {options.pattern!r}. {hint}")
    if options.json:
        print_json([dataclasses.asdict(each) for each in known])
        return 0
    rows = [
        [
            each.name,
            "x".join(map(str, each.input_shape)),
            f"{each.parameters:,}",
            f"{each.macs / 1e6:,.1f} M",
            each.accuracy,
            each.paper,
        ]
        for each in known
    ]
    print_table(["model", "input", "parameters", "multiply-adds", "accuracy", "paper"], rows)
    return 0
