"""The help of each command: its examples are valid commands, and long lines are wrapped around them."""

import re
import shlex
from importlib import import_module

import pytest

from jaxcnn.cli._main import VERBS, build_parser, main


def test_every_verb_has_examples_that_it_understands() -> None:
    for verb in VERBS:
        examples = import_module(f"jaxcnn.cli._{verb}").EXAMPLES
        assert examples
        for example in examples:
            program, *words = shlex.split(example)
            assert program == "jaxcnn" and build_parser().parse_args(words).verb == verb


def test_help_wraps_paragraphs_and_keeps_examples(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit):
        main(["sweep", "--help"])
    lines = capsys.readouterr().out.splitlines()
    description, examples = lines[: lines.index("positional arguments:")], lines[lines.index("examples:") :]
    assert max(map(len, description)) <= 60
    assert examples[1] == "  jaxcnn sweep lenet5_digits --over peak_lr=1e-3,3e-3 --set hold_out=5"


def test_completions_name_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--print-completion", "bash"])
    script = capsys.readouterr().out
    found = next(line for line in script.splitlines() if line.startswith("_shtab_jaxcnn_subparsers="))
    assert sorted(re.findall(r"[\w-]+", found.partition("=")[2])) == sorted(VERBS)
