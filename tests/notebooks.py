"""Runs notebooks in Jupyter kernels of their own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
# The kernel is connected through files, so that no free port is required.
PROGRAM = """
import sys, nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
kernel = AsyncKernelManager(kernel_name="python3", transport="ipc")
NotebookClient(notebook, km=kernel, timeout=600, startup_timeout=300).execute()
nbformat.write(notebook, sys.argv[1])
"""


def execute(path: Path) -> None:
    """Runs every cell in the folder of the notebook, and stores the outputs in the notebook."""
    with tempfile.TemporaryDirectory() as short:  # the path of a socket has at most 107 characters
        folders = dict.fromkeys(("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"), short)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(path)],
            cwd=path.parent,
            env={**os.environ, **folders, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
