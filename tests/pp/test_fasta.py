import gzip

import pytest

from stimpute import pp

TEXT = """>sp|P51448|RORB_MOUSE Nuclear receptor OS=Mus musculus OX=10090 GN=Rorb PE=1 SV=3
MRAQIEVIPC
KICGDKSSGI
>ENSMUSP0001.2 pep chromosome:GRCm39:1:1:2 gene_symbol:Gad1 description:x

MASS\x20TPSP
>Sst
MLSC*
"""


@pytest.mark.parametrize("packed", [False, True])
def test_headers_of_three_kinds(tmp_path, packed):
    path = tmp_path / "proteins.fa"  # gzip is known by its content
    path.write_bytes(gzip.compress(TEXT.encode()) if packed else TEXT.replace("\n", "\r\n").encode())
    table = pp.read_fasta(path)
    assert table.index.tolist() == ["Rorb", "Gad1", "Sst"]
    assert table["accession"].tolist() == ["P51448", "ENSMUSP0001.2", "Sst"]
    assert table["sequence"].tolist() == ["MRAQIEVIPCKICGDKSSGI", "MASSTPSP", "MLSC*"]


def test_isoforms_are_listed_until_the_user_chooses(tmp_path):
    path = tmp_path / "isoforms.fa"
    path.write_text(">a GN=X\nMA\n>y GN=Y\nMY\n>b GN=X\nMAA\n>c GN=X\nMA\n>d GN=Y\nMY\n")
    with pytest.raises(ValueError, match=r"1 genes .* several sequences \(X\).*duplicates=\"longest\""):
        pp.read_fasta(path)
    assert pp.read_fasta(path, duplicates="first")["sequence"].to_dict() == {"X": "MA", "Y": "MY"}
    assert pp.read_fasta(path, duplicates="longest")["sequence"].to_dict() == {"X": "MAA", "Y": "MY"}


@pytest.mark.parametrize(
    ("text", "message"), [("", "no records"), ("MKL\n", "begins with '>'"), (">a\n>b\nM\n", r"\(a\)")]
)
def test_what_is_no_fasta(tmp_path, text, message):
    (tmp_path / "x.fa").write_text(text)
    with pytest.raises(ValueError, match=message):
        pp.read_fasta(tmp_path / "x.fa")


def test_headers_of_ncbi_and_a_byte_order_mark(tmp_path):
    header = ">lcl|NC_000001.11_prot_NP_001005484.2_1 [gene=OR4F5] [db_xref=CCDS:CCDS30547.1] [gbkey=CDS]"
    (tmp_path / "ncbi.faa").write_text(f"\ufeff{header}\nMVTEF\n", encoding="utf-8")
    assert pp.read_fasta(tmp_path / "ncbi.faa").index.tolist() == ["OR4F5"]


@pytest.mark.parametrize(
    "header",
    [
        "ENSP00000334393.3|ENST00000335137.4|ENSG00000186092.7|OTTHUMG0001|OTTHUMT0002|OR4F5-201|OR4F5|326",
        "ENSMUSP01.1_PAR_Y|ENSMUST0001|ENSMUSG0001|-|-|OR4F5-201|OR4F5|326",
        "ENST00000335137.3|ENSG00000186092.4|OTTHUMG0001.1|OTTHUMT0003.1|OR4F5-001|OR4F5|305|",
        "ENST00000335137.3|ENSG00000186092.4|-|-|OR4F5-201|OR4F5|305|",
    ],
)
def test_headers_of_gencode(tmp_path, header):
    (tmp_path / "gencode.fa").write_text(f">{header}\nMVTEF\n")
    assert pp.read_fasta(tmp_path / "gencode.fa").index.tolist() == ["OR4F5"]


def test_accessions_in_place_of_genes_are_told(tmp_path):
    (tmp_path / "refseq.faa").write_text(">NP_000005.3 alpha-2 [Homo sapiens]\nMV\n>Sst\nML\n")
    with pytest.warns(UserWarning, match=r"1 of 2 records .* name no gene.*\(NP_000005\.3\)"):
        assert pp.read_fasta(tmp_path / "refseq.faa").index.tolist() == ["NP_000005.3", "Sst"]
