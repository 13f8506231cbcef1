import ast
import functools
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from stimpute import pp
from stimpute.pp._esm import Encoder, load_encoder

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def protein(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng([seed, length]).choice(list(LETTERS), length))


@pytest.fixture
def proteins():
    return {f"g{n}": protein(n) for n in (7, 1, 30, 30_0, 12, 2, 55)}


@pytest.fixture
def embed(tiny_esm2):
    return functools.partial(pp.embed_proteins, model=tiny_esm2, device="cpu", progress=False)


def by_hand(path, sequence: str, layer: int = 2) -> np.ndarray:
    """Representations of the residues alone, from a batch of one."""
    encoder = load_encoder(path, "cpu")
    tokens = [encoder.alphabet.get_idx(token) for token in ("<cls>", *sequence, "<eos>")]
    with torch.no_grad():
        return encoder.module(torch.tensor([tokens]), repr_layers=[layer])["representations"][layer][0, 1:-1].numpy()


@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_pooling_by_hand(embed, tiny_esm2, proteins, layer):
    mean, last = embed(proteins, layer=layer), embed(proteins, layer=layer, pooling="last")
    for gene, sequence in proteins.items():
        states = by_hand(tiny_esm2, sequence, 2 if layer == -1 else layer)
        row = list(proteins).index(gene)
        np.testing.assert_allclose(mean.embedding[row], states.mean(axis=0), atol=2e-6)
        np.testing.assert_allclose(last.embedding[row], states[-1], atol=2e-6)
    assert mean.genes.tolist() == list(proteins)
    assert mean.embedding.dtype == np.float32
    assert (mean.model, mean.pooling, last.pooling) == ("esm2_tiny", "mean", "last")


@pytest.mark.parametrize("tokens_per_batch", [1, 40, 100_000])
def test_batches_and_padding_change_nothing(embed, proteins, tokens_per_batch):
    alone = np.vstack([embed({gene: sequence}).embedding for gene, sequence in proteins.items()])
    together = embed(proteins, tokens_per_batch=tokens_per_batch).embedding
    np.testing.assert_allclose(together, alone, atol=2e-6)


def test_batches_keep_their_budget(embed, proteins, monkeypatch):
    sizes = []
    pool = Encoder.pool

    def spy(self, sequences, weights, layer):
        sizes.append(len(sequences) * (max(map(len, sequences)) + 2))
        return pool(self, sequences, weights, layer)

    monkeypatch.setattr(Encoder, "pool", spy)
    embed(proteins, tokens_per_batch=120)
    assert len(sizes) > 1
    assert all(size <= 120 or size == 302 for size in sizes)  # the longest protein is a batch of its own


@pytest.mark.slow
def test_long_proteins_by_windows(embed, tiny_esm2):
    titin = protein(3000)
    with pytest.warns(UserWarning, match=r"1 proteins are longer than 1022 residues and are cut .* Ttn"):
        windows = embed({"Ttn": titin, "Sst": protein(9)}, overlap=100).embedding[0]
    starts = np.linspace(0, 3000 - 1022, 4).round().astype(int)
    total, seen = np.zeros((3000, 32)), np.zeros((3000, 1))
    for start in starts:
        total[start : start + 1022] += by_hand(tiny_esm2, titin[start : start + 1022])
        seen[start : start + 1022] += 1
    assert np.diff(starts).max() <= 1022 - 100
    np.testing.assert_allclose(windows, (total / seen).mean(axis=0), atol=5e-6)
    with pytest.warns(UserWarning, match="truncated"):
        first = embed({"Ttn": titin}, long_proteins="truncate").embedding[0]
    np.testing.assert_allclose(first, by_hand(tiny_esm2, titin[:1022]).mean(axis=0), atol=5e-6)
    whole = embed({"Ttn": titin}, long_proteins="whole").embedding[0]
    np.testing.assert_allclose(whole, by_hand(tiny_esm2, titin).mean(axis=0), atol=5e-6)
    with pytest.warns(UserWarning, match="windows"):
        last = embed({"Ttn": titin}, pooling="last").embedding[0]
    np.testing.assert_allclose(last, by_hand(tiny_esm2, titin[-1022:])[-1], atol=5e-6)


def test_letters_outside_the_alphabet(embed):
    with pytest.warns(UserWarning, match=r"4 characters of 2 proteins .* replaced by X: b, c"):
        table = embed({"a": "mkLV*", "b": "MK*JV", "c": "M-<", "clean": "MKLV", "x": "MKXXV"})
    vectors = dict(zip(table.genes, table.embedding, strict=True))
    np.testing.assert_array_equal(vectors["a"], vectors["clean"])
    np.testing.assert_array_equal(vectors["b"], vectors["x"])
    with pytest.raises(ValueError, match=r"no residues \(e\)"):
        embed({"e": "*"})


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_inside(embed, proteins, precision):
    full, half = embed(proteins), embed(proteins, precision=precision)
    assert half.embedding.dtype == np.float32
    cosine = (full.embedding * half.embedding).sum(1) / np.linalg.norm(full.embedding, axis=1)
    np.testing.assert_allclose(cosine / np.linalg.norm(half.embedding, axis=1), 1, atol=1e-3)
    assert not np.array_equal(full.embedding, half.embedding)


@pytest.mark.parametrize("name", ["p.npz", "p.h5ad"])
def test_a_killed_run_goes_on(embed, proteins, tmp_path, monkeypatch, name):
    expected, path = embed(proteins, tokens_per_batch=60), tmp_path / name
    pool, calls = Encoder.pool, []

    def killed_after_three(self, sequences, weights, layer):
        calls.extend(sequences)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return pool(self, sequences, weights, layer)

    monkeypatch.setattr(Encoder, "pool", killed_after_three)
    with pytest.raises(KeyboardInterrupt):
        embed(proteins, output=path, tokens_per_batch=60)
    assert not path.exists()
    partial = tmp_path / f"{name}.partial"
    partial.write_bytes(partial.read_bytes()[:-50])  # the kill cut the last record

    again = []
    monkeypatch.setattr(Encoder, "pool", lambda self, s, w, layer: (again.extend(s), pool(self, s, w, layer))[1])
    result = embed(proteins, output=path, tokens_per_batch=60)
    assert 0 < len(again) < len(proteins)
    np.testing.assert_allclose(result.embedding, expected.embedding, atol=2e-6)
    np.testing.assert_array_equal(pp.ProteinEmbeddings.read(path).embedding, result.embedding)
    assert [p.name for p in tmp_path.iterdir()] == [name]

    again.clear()
    more = embed({**proteins, "new": protein(20)}, output=path)
    assert again == [protein(20)]  # what is done is not done again
    assert more.genes[-1] == "new"


def test_what_is_on_disk_is_verified(embed, proteins, tmp_path, save_tiny_esm2):
    path = tmp_path / "p.npz"
    embed(proteins, output=path)
    with pytest.raises(ValueError, match="pooling is 'mean' there and 'last' here.*another output"):
        embed(proteins, output=path, pooling="last")
    other = save_tiny_esm2(tmp_path / "esm2_tiny.pt", seed=1)  # the same name, other weights
    with pytest.raises(ValueError, match="fingerprint is"):
        embed(proteins, model=other, output=path)
    changed = {**proteins, "g30": protein(30, seed=5)}
    np.testing.assert_allclose(embed(changed, output=path).embedding, embed(changed).embedding, atol=2e-6)
    (tmp_path / "q.npz.partial").write_text("not ours\n")
    with pytest.raises(ValueError, match="not a file of unfinished embeddings"):
        embed(proteins, output=tmp_path / "q.npz")


def test_tables_and_files(embed, tmp_path):
    table = pd.DataFrame(
        {"accession": ["P1", "", "P3"], "sequence": ["MK", "", "MKK"], "release": ["2026_01", "", "2026_01"]},
        index=["a", "b", "c"],
    )
    result = embed(table)
    assert result.genes.tolist() == ["a", "c"]
    assert result.accessions.tolist() == ["P1", "P3"]
    assert result.release == "2026_01"
    (tmp_path / "x.fa").write_text(">a\nMK\n>c\nMKK\n")
    np.testing.assert_array_equal(embed(tmp_path / "x.fa").embedding, result.embedding)
    with pytest.raises(ValueError, match="None of 1 genes"):
        embed(table.iloc[[1]])
    with pytest.raises(ValueError, match=r"1 genes have several sequences \(a\)"):
        embed(pd.concat([table, table.iloc[[0]]]))
    with pytest.raises(TypeError, match="`sequences` is a list"):
        embed(["MK"])
    with pytest.raises(KeyError, match="'sequence' is not in `sequences`"):
        embed(table[["accession"]])
    with pytest.raises(ValueError, match="2 of 3 gene names in `sequences` are missing"):
        embed(table.set_axis(["a", "b", np.nan]).assign(sequence="MK").rename({"b": ""}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "max"}, "'mean' or 'last'"),
        ({"long_proteins": "skip"}, "'windows', 'truncate' or 'whole'"),
        ({"overlap": 1022}, "less than `window`"),
        ({"long_proteins": "truncate", "window": 0}, "`window` is 0"),
        ({"tokens_per_batch": 0}, "at least 1"),
        ({"layer": 3}, "the model has 2 layers"),
        ({"layer": -4}, "the model has 2 layers"),
        ({"precision": "int8"}, "expected one of"),
        ({"output": "x.csv"}, r"\.npz or \.h5ad"),
    ],
)
def test_wrong_arguments(embed, options, message):
    with pytest.raises(ValueError, match=message):
        embed({"a": "MK"}, **options)


def test_overflow_is_an_error(embed, monkeypatch):
    monkeypatch.setattr(Encoder, "pool", lambda self, s, w, layer: np.full((len(s), 32), np.nan, np.float32))
    with pytest.raises(FloatingPointError, match="precision='float32'"):
        embed({"a": "MK"})


def test_no_warning_without_a_reason(embed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embed({"a": "MK"})


def test_import_needs_no_fair_esm():
    for path in Path(pp.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "")]
            )
            assert not any((name or "").split(".")[0] == "esm" for name in names), path
