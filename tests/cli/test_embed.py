import json

from stimpute.pp import _uniprot

pytest_plugins = ["pp.conftest"]


def test_proteins_of_a_file(run, tiny_esm2, tmp_path):
    fasta = tmp_path / "proteins.fasta"
    fasta.write_text(">sp|P1|A_MOUSE A GN=Actb\nMKVLAAGT\n>sp|P2|B_MOUSE B GN=Gapdh\nMTTRRSLA\n")
    result = run("embed", fasta, "--model", tiny_esm2, "-o", "vectors.npz", "--json")
    assert (result.status, result.err) == (0, "")
    assert json.loads(result.out) == {"genes": 2, "dimensions": 32, "file": "vectors.npz"}
    result = run("embed", fasta, "--model", tiny_esm2, "-o", "vectors.h5ad", "--quiet")
    assert (result.status, result.out, result.err) == (0, "", "")


def test_gene_names_that_are_not_text(run, tmp_path):
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)))
    result = run("embed", tmp_path / "binary.txt", "-o", "v.npz")
    assert result.status == 2
    assert "is not text" in result.err


def test_without_a_network_the_command_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setattr(_uniprot.time, "sleep", lambda seconds: None)
    (tmp_path / "genes.txt").write_text("Actb\n")
    result = run("embed", "genes.txt", "--organism", "9999999", "--url", "http://localhost:9", "-o", "v.npz")
    assert result.status == 2
    assert "http://localhost:9 gave no complete answer" in result.err
    assert "check the network connection" in result.err
    assert "give a .fasta file instead of gene names" in result.err


def test_paths_that_cannot_be_used(run, tmp_path):
    (tmp_path / "genes.txt").write_text("Actb\n")
    assert run("embed", tmp_path / "none.txt", "-o", "v.npz").status == 2
    result = run("embed", tmp_path / "genes.txt", "-o", "v.csv")
    assert result.status == 2
    assert "ends in .h5ad or .npz" in result.err
