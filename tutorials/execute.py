"""Execute the tutorials and keep their outputs.

    STIMPUTE_DATA=/folder/with/the/pairs python tutorials/execute.py            # all
    STIMPUTE_DATA=/folder/with/the/pairs python tutorials/execute.py 2 5        # some, by number

Messages on standard error, times and paths of this machine are not kept: the notebooks hold what a reader needs, and
change only where a result does. A notebook that fails is left as it was, and the script ends with status 1.
"""

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).parent
SECONDS_PER_CELL = 600


def run(path: Path) -> nbformat.NotebookNode:
    """Execute a notebook in its own kernel; raises CellExecutionError."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=SECONDS_PER_CELL, kernel_name="python3", record_timing=False).execute(
        cwd=str(HERE)
    )
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    return notebook


def main(chosen: list[str]) -> int:
    """Execute and write the notebooks whose names start with one of the numbers."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    failed = 0
    for path in sorted(HERE.glob("*.ipynb")):
        if chosen and path.name.split("_")[0] not in chosen:
            continue
        start = time.perf_counter()
        try:
            nbformat.write(run(path), path)
        except CellExecutionError as error:
            failed += 1
            print(f"{path.name} FAILED\n{error}")
            continue
        print(f"{path.name}: {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1e6:.2f} MB")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
