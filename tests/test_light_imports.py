"""The core of the library loads no packages for pictures, checkpoints, data or terminals, not even late."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.sources import imports_of

ROOT = Path(__file__).parent.parent
HEAVY = {"grain", "matplotlib", "orbax", "PIL", "rich", "tensorflow", "tensorflow_datasets", "torch"}
CORE = ("functional", "metrics", "models", "nn", "shapes")
STAGES = {
    "jaxcnn": ("import jaxcnn", HEAVY | {"flax", "jax", "numpy", "optax"}),
    "shapes": ("from jaxcnn import shapes; use(shapes)", HEAVY | {"flax", "jax", "optax"}),
    "functional": (
        "import jax.numpy as jnp; from jaxcnn import functional; use(functional);"
        "functional.conv(jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 2)));"
        "repr(functional.explain_conv((1, 8, 8, 3), (3, 3, 3, 2), platform='cpu'))",
        HEAVY | {"flax", "jax.experimental.jet", "optax"},
    ),
    "metrics": (
        "from jaxcnn import metrics; use(metrics); metrics.accuracy([0, 1], [0, 0])",
        HEAVY | {"flax", "optax", "scipy", "skimage", "sklearn"},
    ),
    "flax, which imports rich": ("import flax.linen", HEAVY - {"rich"}),
    "nn": ("from jaxcnn import nn; use(nn)", HEAVY - {"rich"}),
    "models": (
        "from jaxcnn import models; use(models); model = models.create('lenet5'); models.info('lenet5');"
        "str(jaxcnn.summary(model, (1, 32, 32, 1)))",
        HEAVY - {"rich"},
    ),
}


def found_after(stages: dict[str, tuple[str, set[str]]]) -> dict[str, list[str]]:
    """The unwanted modules that are loaded after each stage; all stages run in one new process."""
    lines = ["import json, sys", "found = {}", "def use(module): [getattr(module, name) for name in module.__all__]"]
    for name, (code, unwanted) in stages.items():
        lines += [code, f"found[{name!r}] = [name for name in {sorted(unwanted)} if name in sys.modules]"]
    program = "\n".join([*lines, "print(json.dumps(found))"])
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_core_loads_nothing_heavy() -> None:
    assert found_after(STAGES) == {name: [] for name in STAGES}


@pytest.mark.gate
def test_a_heavy_import_is_found() -> None:
    assert found_after({"vis": ("import matplotlib", HEAVY)})["vis"] == ["PIL", "matplotlib"]


def heavy_imports(source: str) -> list[str]:
    """The heavy packages that a source imports, also within functions; imports for type checkers are allowed."""
    tree = ast.parse(source)
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for each in node.body
        for inner in ast.walk(each)
    }
    names = []
    for node in ast.walk(tree):
        if node not in typing_only and isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif node not in typing_only and isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return [name for name in names if name.split(".")[0] in HEAVY]


def test_no_function_of_the_core_imports_them_late() -> None:
    files = [path for folder in CORE for path in sorted((ROOT / "jaxcnn" / folder).rglob("*.py"))]
    found = {str(path): heavy_imports(path.read_text(encoding="utf-8")) for path in files}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f():\n    import rich.table", ["rich.table"]),
        ("from matplotlib.figure import Figure", ["matplotlib.figure"]),
        ("if TYPE_CHECKING:\n    from matplotlib.figure import Figure", []),
        ("import richer", []),
    ],
)
def test_late_imports_are_found(source: str, names: list[str]) -> None:
    assert heavy_imports(source) == names


DISTRIBUTIONS = {
    "google_crc32c": "google-crc32c",
    "ml_dtypes": "ml-dtypes",
    "PIL": "pillow",
    "orbax": "orbax-checkpoint",
    "tensorflow_datasets": "tensorflow-datasets",
}
OPTIONAL = {"IPython", "torch"}  # this is imported only in a notebook, and only on the user's request
NEEDS_TRAIN = ("attribution", "bench", "cli", "data", "export", "live", "train", "unsupervised", "vis")


def third_party(folder: Path) -> set[str]:
    """The distributions that the files of a folder import, including late imports."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in imports_of(path.read_text(encoding="utf-8")):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            else:
                names.add((node.module or "").split(".")[0])
    names -= sys.stdlib_module_names | OPTIONAL | {"jaxcnn"}
    return {DISTRIBUTIONS.get(name, name) for name in names}


def required(*extras: str) -> set[str]:
    """The distributions that pyproject.toml requires for the core and for these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return {re.split(r"[\[<>=~! ]", line)[0] for line in lines}


def test_each_folder_imports_only_what_its_install_brings() -> None:
    folders = [path for path in sorted((ROOT / "jaxcnn").iterdir()) if (path / "__init__.py").exists()]
    found = {
        path.name: third_party(path) - required(*(("train",) if path.name in NEEDS_TRAIN else ())) for path in folders
    }
    assert {name: missing for name, missing in found.items() if missing} == {}
    assert "matplotlib" in third_party(ROOT / "jaxcnn" / "vis") and "matplotlib" not in required()


def test_without_the_extra_the_core_works_and_the_rest_says_what_to_install() -> None:
    code = """
import sys
for name in ("grain", "importlib_resources", "matplotlib", "PIL", "tensorflow_datasets"):
    sys.modules[name] = None
import jax.numpy as jnp, jaxcnn
print(jaxcnn.functional.conv(jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 2))).shape)
print(jaxcnn.summary(jaxcnn.models.create("lenet5"), (1, 32, 32, 1)).parameters)
try:
    jaxcnn.data
except ModuleNotFoundError as error:
    print(error)
from jaxcnn.cli import main
print(main(["show", "lenet5_digits"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    hint = "import of PIL halted; None in sys.modules: it comes with pip install 'jaxcnn[train]'"
    assert done.stdout.splitlines() == ["(1, 8, 8, 2)", "61706", hint, "2"], done.stderr
    assert done.stderr == f"jaxcnn show: {hint}\n"


def test_import_of_jaxcnn_is_quick() -> None:
    code = "import time; start = time.process_time(); import jaxcnn; print(time.process_time() - start)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.3
