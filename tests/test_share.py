import contextlib
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from hub_server import local_hub
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stimpute import StImputeModel, pp, share, tl
from stimpute.datasets import synthetic_tissue
from stimpute.recipes import RECIPES
from stimpute.share import _card, _tensors

pytest.importorskip("safetensors")

OPTIONS = {"crossfit": {"n_steps": 20, "n_metacells": 40}, "paper": {"n_neighbors": 10, "n_rounds": 1}}
SMALL = {"n_cells": 150, "n_reference": 120, "n_measured": 14, "n_unmeasured": 6}
FOLDS = "fit/preparation.folds.fold_of_gene"
MEAN = "fit/preparation.scaling.mean"
METACELL = "fit/preparation.metacell"
FILES = ["stimpute.json", "stimpute.safetensors"]


@pytest.fixture(scope="module")
def tissue():
    tissue = synthetic_tissue(**SMALL)
    pp.add_protein_embeddings(tissue.reference, tissue.proteins)
    tissue.reference.obs["donor"] = "Jane"
    StImputeModel.setup_anndata(tissue.spatial)
    StImputeModel.setup_anndata(tissue.reference)
    return tissue


@pytest.fixture(scope="module")
def models(tissue):
    def train(recipe):
        model = StImputeModel(tissue.spatial, tissue.reference, recipe=recipe, **OPTIONS.get(recipe, {}))
        model.train(max_epochs=2, accelerator="cpu", enable_progress_bar=False)
        return model

    return {recipe: train(recipe) for recipe in sorted(RECIPES)}


@pytest.fixture
def model(models):
    return models["crossfit"]


@pytest.fixture
def folder(model, tmp_path):
    return share.save(model, tmp_path / "shared")


def impute(model, **kwargs):
    return model.impute(progress=False, **kwargs)


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_round_trip_imputes_bit_by_bit(models, tissue, recipe, tmp_path):
    model = models[recipe]
    path = share.save(model, tmp_path / "shared")
    assert sorted(file.name for file in path.iterdir()) == FILES
    loaded = share.load(path, tissue.spatial.copy(), tissue.reference.copy())
    options = {"interval": 0.9} if model.recipe.capabilities.intervals else {}
    genes = list(tissue.reference.var_names)
    before, after = impute(model, genes=genes, **options), impute(loaded, genes=genes, **options)
    np.testing.assert_array_equal(before.X, after.X)
    for layer in before.layers:
        np.testing.assert_array_equal(before.layers[layer], after.layers[layer])
    pd.testing.assert_frame_equal(before.var, after.var)
    assert before.uns["stimpute"] == after.uns["stimpute"]
    for name, table in model.history.items():
        np.testing.assert_array_equal(loaded.history[name].to_numpy(float), table.to_numpy(float))
        assert loaded.history[name].attrs == table.attrs
    if model.recipe.capabilities.latent_space:
        np.testing.assert_array_equal(model.get_latent_representation(), loaded.get_latent_representation())


def test_everything_that_a_model_saves_is_shared(model, folder):
    """A new attribute must be added to the document, or to this list."""
    not_shared = {"train_indices_", "test_indices_", "validation_indices_", "run_id_", "run_name_"}
    saved = {name for name, _ in model._get_user_attributes() if name.endswith("_")} - not_shared
    loaded = share.load(folder)
    for name in saved:
        assert getattr(loaded, name) is not None, name
    assert loaded.init_params_ == model.init_params_
    assert loaded.training_record == model.training_record
    assert loaded.registry_["setup_args"] == model.registry_["setup_args"]
    assert loaded.fit_arrays_.keys() == model.fit_arrays_.keys()
    assert loaded.summary_stats == model.summary_stats


def test_hyperparameters_survive(tissue, tmp_path):
    options = {"masked_share": (0.2, 0.3), "n_latent": 8, "relations": ["coexpression"], **OPTIONS["crossfit"]}
    model = StImputeModel(tissue.spatial, tissue.reference, **options)
    model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    loaded = share.load(share.save(model, tmp_path / "shared"))
    assert loaded.recipe.masked_share == (0.2, 0.3)
    assert loaded.recipe == model.recipe
    assert loaded.relations == ["coexpression"]
    again = share.load(share.save(loaded, tmp_path / "again"), tissue.spatial.copy(), tissue.reference.copy())
    np.testing.assert_array_equal(impute(model).X, impute(again).X)


def test_the_reference_travels_without_the_donors(model, tissue, tmp_path):
    path = share.save(model, tmp_path / "shared", save_reference=True, labels=["cell_type"])
    loaded = share.load(path)
    np.testing.assert_array_equal(impute(loaded, adata=tissue.spatial.copy()).X, impute(model).X)
    reference = loaded.reference
    assert "donor" not in reference.obs
    assert list(reference.var) == ["has_protein"]
    assert not set(reference.obs_names) & set(tissue.reference.obs_names)
    assert set(loaded.transfer_labels("cell_type", tissue.spatial)["label"].dropna()) <= set(
        tissue.reference.obs["cell_type"]
    )
    assert "Jane" not in (path / "reference.h5ad").read_bytes().decode("latin1")
    assert share.load(path, reference=False).reference is None
    share.save(model, path, overwrite=True)
    assert not (path / "reference.h5ad").exists()
    with pytest.raises(KeyError, match="labels="):
        share.save(model, tmp_path / "other", save_reference=True, labels=["tissue"])


def test_layers_and_symbols_travel(tissue, tmp_path):
    reference = tissue.reference.copy()
    reference.layers["raw"], reference.X = reference.X, None
    reference.var["symbol"] = reference.var_names
    reference.var_names = [f"ENS{i}" for i in range(reference.n_vars)]
    StImputeModel.setup_anndata(reference, layer="raw", gene_symbols="symbol", batch_key="donor")
    model = StImputeModel(tissue.spatial, reference, **OPTIONS["crossfit"])
    model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    loaded = share.load(share.save(model, tmp_path / "shared", save_reference=True), tissue.spatial.copy())
    np.testing.assert_array_equal(impute(loaded).X, impute(model).X)


def test_no_name_of_a_batch_without_cells_travels(tissue, tmp_path):
    spatial, reference = tissue.spatial.copy(), tissue.reference.copy()
    for data in (spatial, reference):
        donors = np.where(np.arange(data.n_obs) % 2, "donor1", "donor2")
        data.obs["donor"] = pd.Categorical(donors, categories=["Jane", "donor1", "donor2"])
        StImputeModel.setup_anndata(data, batch_key="donor")
    reference.var["has_Jane"] = True
    model = StImputeModel(spatial, reference, **OPTIONS["crossfit"])
    model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    path = share.save(model, tmp_path / "shared", save_reference=True)
    assert list(ad.read_h5ad(path / "reference.h5ad").obs["donor"].cat.categories) == ["donor1", "donor2"]
    assert not [file.name for file in path.iterdir() if b"Jane" in file.read_bytes()]
    np.testing.assert_array_equal(impute(share.load(path, spatial.copy())).X, impute(model).X)


def test_a_reference_that_was_changed_is_not_shared(folder, tissue, tmp_path):
    """The model could not be loaded with it."""
    model = share.load(folder, tissue.spatial.copy(), tissue.reference.copy())
    model.reference._inplace_subset_obs(model.reference.obs_names[::-1])
    for save in (share.save, share.to_hub):
        with pytest.raises(ValueError, match="not the reference that the model was trained with"):
            save(model, tmp_path / "new", save_reference=True)
    assert not (tmp_path / "new").exists()
    share.save(model, tmp_path / "new")


def test_contents_lists_every_array_with_its_meaning(models):
    for model in models.values():
        table = share.contents(model)
        assert set(table.index) == set(_tensors.collect(model))
        assert (table["about"].str.len() > 5).all()
    crossfit = share.contents(models["crossfit"])
    cells = crossfit.loc["fit/preparation.probe.expression"]
    assert cells["shape"] == (SMALL["n_cells"], SMALL["n_measured"])
    assert "counts" in cells["about"]


def test_a_failed_save_keeps_the_old_model(model, folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(_tensors, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        share.save(model, folder, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_needs_of_the_model_are_said(model, tissue, folder, tmp_path):
    untrained = StImputeModel(tissue.spatial, tissue.reference)
    with pytest.raises(RuntimeError, match=r"model\.train"):
        share.save(untrained, tmp_path / "untrained")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        share.save(model, folder)
    with pytest.raises(RuntimeError, match="without its reference"):
        share.save(share.load(folder), tmp_path / "none", save_reference=True)
    with pytest.raises(ValueError, match="not the reference"):
        share.load(folder, reference=tissue.reference[:100].copy())
    with pytest.raises(ValueError, match="not in this AnnData"):
        share.load(folder, tissue.spatial[:, :8].copy())
    with pytest.raises(FileNotFoundError, match=r"stimpute\.share\.save"):
        share.load(tmp_path / "nowhere")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([*FILES, "reference.h5ad"]),
    where=st.floats(0, 1, exclude_max=True),
    other=st.binary(max_size=9),
)
def test_damage_in_any_region_is_refused_or_changes_nothing(with_reference, tissue, tmp_path, name, where, other):
    path, expected = with_reference
    folder = tmp_path / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(path, folder)
    content = (folder / name).read_bytes()
    start = int(where * len(content))
    (folder / name).write_bytes(content[:start] + other + content[start + 5 :])
    try:
        found = impute(share.load(folder), adata=tissue.spatial).X
    except (ValueError, KeyError):
        return
    if name != "stimpute.json":  # which has no checksum
        np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="module")
def with_reference(models, tmp_path_factory):
    """A shared model with its reference, and what it imputes."""
    path = tmp_path_factory.mktemp("whole") / "shared"
    return share.save(models["crossfit"], path, save_reference=True), impute(models["crossfit"]).X


def changed_documents(document, path=()):
    """Yield the place of every value of a document, those in lists only for the first."""
    for key, value in document.items() if isinstance(document, dict) else enumerate(document[:1]):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from changed_documents(value, (*path, key))


OTHER_VALUES = [None, -1, 1e30, "x" * 1000, [[]], {"a": {}}, True]


@pytest.mark.parametrize("shift", [0, 4])
def test_any_other_value_in_the_document_is_refused_or_harmless(with_reference, tmp_path, shift):
    path, _ = with_reference
    text = (path / "stimpute.json").read_text()
    folder = tmp_path / "changed"
    shutil.copytree(path, folder)
    for number, place in enumerate(changed_documents(json.loads(text))):
        changed = json.loads(text)
        parent = changed
        for key in place[:-1]:
            parent = parent[key]
        parent[place[-1]] = OTHER_VALUES[(number + shift) % len(OTHER_VALUES)]
        (folder / "stimpute.json").write_text(json.dumps(changed))
        with contextlib.suppress(ValueError, KeyError):
            share.load(folder, reference=False)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("keep", [0, 1, 7, 0.5, 0.99])
def test_truncated_files_are_refused(folder, name, keep):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(ValueError, match=r"stimpute\.(json|safetensors)"):
        share.load(folder)


def test_a_reference_that_was_changed_is_refused_before_it_is_read(model, tmp_path):
    path = share.save(model, tmp_path / "shared", save_reference=True)
    file = path / "reference.h5ad"
    file.write_bytes(file.read_bytes() + b"0")
    with pytest.raises(ValueError, match=r"reference\.h5ad is damaged or was changed.*pass `reference=`"):
        share.load(path)


def test_a_truncated_reference_without_a_digest_is_refused(model, tmp_path):
    path = share.save(model, tmp_path / "shared", save_reference=True)
    document = json.loads((path / "stimpute.json").read_text())
    (path / "stimpute.json").write_text(json.dumps({**document, "reference_digest": None}))
    file = path / "reference.h5ad"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"reference\.h5ad cannot be read.*pass `reference=`"):
        share.load(path)


def test_missing_tensors_are_named(folder):
    (folder / "stimpute.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="whole folder"):
        share.load(folder)


def change(folder, edit):
    path = folder / "stimpute.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d.update(format="other"),
        lambda d: d.update(format_version=99),
        lambda d: d["data_record"].pop("shared_genes"),
        lambda d: d["data_record"].update(shared_genes=[1, 2, 3]),
        lambda d: d["data_record"]["shared_genes"].append("Gene99"),
        lambda d: d["data_record"]["shared_genes"].pop(),
        lambda d: d["data_record"].update(shared_genes=[]),
        lambda d: d["data_record"]["shared_genes"].__setitem__(0, d["data_record"]["shared_genes"][1]),
        lambda d: d["init"].update(recipe="os.system"),
        lambda d: d["init"].update(n_hidden=10**12),
        lambda d: d["init"].update(n_hidden=10**30),
        lambda d: d["init"].update(n_folds=True),
        lambda d: d["init"].update(n_spatial_neighbors=10**8),
        lambda d: d["init"].update(masked_share=[0.1, 0.2, 0.3]),
        lambda d: d["init"].update(ridge=1e400),
        lambda d: d["init"].update(n_latent="__import__('os')"),
        lambda d: d["init"].update(unknown=1),
        lambda d: d["init"].update(relations=7),
        lambda d: d["spatial_setup"].update(cls="evil"),
        lambda d: d["spatial_setup"].update(layer={"a": 1}),
        lambda d: d["spatial_setup"].clear(),
        lambda d: d["data_record"]["reference_setup"].pop("gene_symbols"),
        lambda d: d["registry"].pop("field_registries"),
        lambda d: d["registry"]["field_registries"].update(X=3),
        lambda d: d["data_record"].update(reference_shape=[1, 2, 3]),
        lambda d: d["data_record"].update(reference_shape=[4, 20]),
        lambda d: d["data_record"].pop("fingerprint"),
        lambda d: d["data_record"]["relations"].append("string"),
        lambda d: d["history"].update(loss={"epoch": [0, 1], "value": [0.5]}),
        lambda d: d["tensors"].popitem(),
        lambda d: d.update(digest="0"),
        lambda d: d.update(training_record={"seed": {"a": 1}}),
        lambda d: d.update(training_record=[3]),
    ],
)
def test_documents_that_do_not_fit_are_refused(folder, edit):
    change(folder, edit)
    with pytest.raises(ValueError, match=r"stimpute\.(json|safetensors)"):
        share.load(folder)


def test_json_bombs_are_refused(folder):
    (folder / "stimpute.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="not valid JSON"):
        share.load(folder)


@pytest.mark.parametrize(
    "edit",
    [
        lambda a: a.update({FOLDS: a[FOLDS] * 0 + 2**60}),
        lambda a: a.update({METACELL: a[METACELL][:5]}),
        lambda a: a.update({METACELL: a[METACELL] - 1}),
        lambda a: a.update({MEAN: a[MEAN][:3]}),
        lambda a: a.update({MEAN: a[MEAN] * np.nan}),
        lambda a: a.pop(FOLDS),
        lambda a: a.pop("fit/calibration.slope"),
        lambda a: a.update({"fit/other": a[MEAN]}),
        lambda a: a.pop("network/networks.graph.bias"),
        lambda a: a.update({"network/networks.graph.bias": np.zeros((3, 3), np.float32)}),
        lambda a: a.update({"network/networks.graph.bias": a["network/networks.graph.bias"] * np.nan}),
        lambda a: a.update({"network/networks.graph.bias": a["network/networks.graph.bias"].astype(np.complex64)}),
        lambda a: a.update({"network/networks.graph.other": np.zeros(2, np.float32)}),
    ],
)
def test_arrays_that_do_not_fit_are_refused(model, folder, edit):
    """Even where the document was changed to agree."""
    arrays = _tensors.collect(model)
    edit(arrays)
    about = _tensors.write(arrays, folder / "stimpute.safetensors")
    change(folder, lambda document: document.update(about))
    with pytest.raises(ValueError, match=r"stimpute\.safetensors is damaged"):
        share.load(folder)


@pytest.mark.parametrize("recipe", ["crossfit", "paper"])
def test_weights_out_of_range_do_not_become_values(models, tissue, tmp_path, recipe):
    """Finite weights may still overflow."""
    folder = share.save(models[recipe], tmp_path / "shared")
    arrays = _tensors.collect(models[recipe])
    for name, value in arrays.items():
        if name.startswith("network/") and value.dtype.kind == "f":
            arrays[name] = np.full_like(value, 1e38)
    about = _tensors.write(arrays, folder / "stimpute.safetensors")
    change(folder, lambda document: document.update(about))
    loaded = share.load(folder, tissue.spatial.copy(), tissue.reference.copy())
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="not finite.*fetch it again"):
        impute(loaded)


def test_too_many_layers_are_refused_before_any_is_built(models, tmp_path):
    folder = share.save(models["paper"], tmp_path / "shared")
    change(folder, lambda document: document["init"].update(n_layers=10**8))
    with pytest.raises(ValueError, match="damaged.*`n_layers` is 100000000; expected at most 100"):
        share.load(folder)


def test_loading_leaves_random_numbers_alone(folder):
    before = torch.random.get_rng_state()
    share.load(folder)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_pickle_in_disguise_is_not_run(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    content = pickle.dumps(Evil())
    (folder / "stimpute.safetensors").write_bytes(content)
    change(folder, lambda document: document.update(digest=hashlib.blake2b(content).hexdigest()))
    with pytest.raises(ValueError, match="not a safetensors file"):
        share.load(folder)
    assert not (tmp_path / "was_run").exists()


# ------------------------------------------------------------ scvi.hub


@pytest.fixture
def hub():
    return pytest.importorskip("scvi.hub", exc_type=ImportError)


@pytest.fixture(scope="module")
def accuracy(tissue):
    options = {"max_epochs": 2, "accelerator": "cpu"}
    return tl.cross_validate(
        tissue.spatial, tissue.reference, n_folds=2, progress=False, train_kwargs=options, **OPTIONS["crossfit"]
    )


def test_a_hub_model_carries_its_reference(hub, model, tissue, accuracy, tmp_path):
    made = share.to_hub(
        model, tmp_path / "hub", accuracy=accuracy, save_reference=True, license_info="cc-by-4.0", tissues=["cortex"]
    )
    assert isinstance(made, hub.HubModel)
    assert not hasattr(model, "embedded_reference_")
    pulled = tmp_path / "pulled"  # what HubModel.pull_from_huggingface_hub brings
    pulled.mkdir()
    for name in ("model.pt", "_scvi_required_metadata.json", "README.md"):
        shutil.copy(tmp_path / "hub" / name, pulled / name)
    again = hub.HubModel(str(pulled))
    again.load_model(adata=tissue.spatial.copy())
    np.testing.assert_array_equal(impute(again.model).X, impute(model).X)


def test_hub_card_tells_the_accuracy(hub, model, accuracy, tmp_path):
    made = share.to_hub(model, tmp_path / "hub", accuracy=accuracy, description="A test.", tissues=["cortex"])
    card = (tmp_path / "hub" / "README.md").read_text()
    assert made.model_card.data.library_name == "scvi-tools"
    assert "tissue:cortex" in made.model_card.data.tags
    assert "| stimpute |" in card
    assert "| kNN |" in card
    assert f"{accuracy.summary.loc['stimpute', 'pcc']:.3f}" in card
    assert model.fingerprint in card
    assert "pass the same one" in card
    assert "To be added" not in card
    assert (
        json.loads((tmp_path / "hub" / "_scvi_required_metadata.json").read_text())["model_cls_name"]
        == "HubStImputeModel"
    )


def test_hub_model_with_data_loads_alone(hub, model, tissue, tmp_path):
    share.to_hub(model, tmp_path / "hub", save_anndata=True)
    loaded = hub.HubModel(str(tmp_path / "hub"))
    loaded.load_model()
    with pytest.raises(RuntimeError, match="without its reference"):
        impute(loaded.model)
    complete = StImputeModel.load(tmp_path / "hub", reference=tissue.reference.copy())
    np.testing.assert_array_equal(impute(complete).X, impute(model).X)
    with pytest.raises(FileExistsError):
        share.to_hub(model, tmp_path / "hub")


def test_names_in_a_card_are_text():
    names = ["<img src=x onerror=alert(1)>", "![pixel](http://evil/x.png)", "[link](http://evil)", "a|b", "`c`\n# d"]
    tissue = synthetic_tissue(**SMALL)
    renamed = dict(zip(tissue.spatial.var_names[:5], names, strict=True))
    for adata in (tissue.spatial, tissue.reference):
        adata.var_names = [renamed.get(gene, gene) for gene in adata.var_names]
        StImputeModel.setup_anndata(adata)
    model = StImputeModel(tissue.spatial, tissue.reference)
    settings = {"description": "", "license_info": "mit", "tissues": (), "references": "", "has_reference": True}
    card = str(_card.model_card(model, None, **settings))
    for markup in ("<img", "![", "[link]", "\n# d"):
        assert markup not in card
    for text in ("&lt;img", r"!\[pixel\](http://evil/x.png)", r"a\|b", r"\`c\` # d"):
        assert text in card


def test_a_failed_hub_card_keeps_the_old_model(hub, model, tmp_path, monkeypatch):
    share.to_hub(model, tmp_path / "hub")
    before = {path.name: path.read_bytes() for path in (tmp_path / "hub").iterdir()}

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(hub.HubModel, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        share.to_hub(model, tmp_path / "hub", save_anndata=True, overwrite=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "hub").iterdir()} == before


PUSH_AND_PULL = """
import sys
import anndata as ad
from scvi.hub import HubModel
from stimpute import share  # noqa: F401 - as a user would have it

folder, section, out = sys.argv[1:]
HubModel(folder).push_to_huggingface_hub("me/cortex", repo_token="hf_none", repo_create=True, push_anndata=False)
pulled = HubModel.pull_from_huggingface_hub("me/cortex", revision="main")
pulled.load_model(adata=ad.read_h5ad(section))
pulled.model.impute(progress=False).write_h5ad(out)
"""


@pytest.mark.slow
def test_push_to_a_hub_and_pull_from_it(hub, model, tissue, tmp_path):
    share.to_hub(model, tmp_path / "hub", save_reference=True)
    tissue.spatial.write_h5ad(tmp_path / "section.h5ad")
    paths = [str(tmp_path / name) for name in ("hub", "section.h5ad", "out.h5ad")]
    with local_hub() as server:
        names = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_TELEMETRY": "1"}
        environment = {**os.environ, **names, "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", PUSH_AND_PULL, *paths], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        files = server.repos["me/cortex"]
    assert set(files) == {"README.md", "_scvi_required_metadata.json", "model.pt"}
    np.testing.assert_array_equal(ad.read_h5ad(tmp_path / "out.h5ad").X, model.impute(progress=False).X)


def test_a_folder_with_a_private_model_is_not_used(model, tmp_path):
    model.save(tmp_path / "model", save_anndata=True)
    with pytest.raises(FileExistsError, match=r"holds a model of `model\.save`"):
        share.save(model, tmp_path / "model", overwrite=True)
    assert (tmp_path / "model" / "model.pt").exists()
    share.save(model, tmp_path / "shared")
    with pytest.raises(ValueError, match="was made for others"):
        model.save(tmp_path / "shared", overwrite=True)


def test_a_lazy_reference_travels(tissue, tmp_path):
    tissue.reference.write_h5ad(tmp_path / "reference.h5ad")
    reference = ad.experimental.read_lazy(tmp_path / "reference.h5ad")
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(tissue.spatial, reference, **OPTIONS["crossfit"])
    model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    share.save(model, tmp_path / "shared", save_reference=True)
    stored = ad.read_h5ad(tmp_path / "shared" / "reference.h5ad")
    assert (stored.X != tissue.reference.X).nnz == 0
    assert not stored.obs.columns.tolist()
