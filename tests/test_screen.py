"""What a user sees at the first contact: nothing of other packages, and no progress bars in a file."""

import logging
import subprocess
import sys

import pytest
import scvi
from rich.console import Console

from stimpute import _screen

QUICK_START = """
import stimpute
from stimpute import StImputeModel
tissue = stimpute.datasets.synthetic_tissue(n_cells=120, n_reference=100, n_measured=16, n_unmeasured=5)
spatial, reference = tissue.spatial, tissue.reference
stimpute.pp.add_protein_embeddings(reference, tissue.proteins)
StImputeModel.setup_anndata(spatial)
StImputeModel.setup_anndata(reference)
model = StImputeModel(spatial, reference, n_metacells=20)
model.train(max_epochs=2, accelerator="cpu")
imputed = model.impute(interval=0.9)
stimpute.pl.imputed(spatial, imputed, genes=[imputed.var_names[0]], interval=True)
model.save("model")
StImputeModel.load("model", adata=spatial, reference=reference).impute(genes=[imputed.var_names[0]])
print("done")
"""


@pytest.mark.slow
def test_the_quick_start_writes_nothing_into_a_file_but_what_was_asked_for(tmp_path):
    run = subprocess.run([sys.executable, "-c", QUICK_START], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (run.stdout, run.stderr) == ("done\n", "")


@pytest.mark.parametrize("has_widgets", [True, False])
def test_a_notebook_needs_widgets_for_progress_bars(monkeypatch, has_widgets):
    monkeypatch.setattr("rich.get_console", lambda: Console(force_jupyter=True))
    monkeypatch.setattr(_screen, "find_spec", lambda name: object() if has_widgets else None)
    assert _screen.can_draw_progress() == has_widgets


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_has_progress_bars_and_a_file_has_none(monkeypatch, is_terminal):
    monkeypatch.setattr("rich.get_console", lambda: Console(force_terminal=is_terminal, force_jupyter=False))
    assert _screen.can_draw_progress() == is_terminal


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.ERROR])
def test_the_verbosity_of_scvi_tools_turns_progress_bars_off(monkeypatch, level):
    monkeypatch.setattr("rich.get_console", lambda: Console(force_terminal=True, force_jupyter=False))
    before = scvi.settings.verbosity
    scvi.settings.verbosity = level
    drawn = _screen.can_draw_progress()
    scvi.settings.verbosity = before
    assert drawn == (level < logging.ERROR)


def test_messages_are_silenced_and_levels_restored_even_after_an_error():
    loggers = [logging.getLogger(name) for name in ("stimpute.test.one", "stimpute.test.two")]
    loggers[0].setLevel(logging.DEBUG)

    def fail():
        with _screen.quiet("stimpute.test.one", "stimpute.test.two"):
            assert [logger.level for logger in loggers] == [logging.WARNING] * 2
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [logger.level for logger in loggers] == [logging.DEBUG, logging.NOTSET]
