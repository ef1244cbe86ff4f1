"""One-hot encoding and FASTA reading."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastism.errors import FastISMError
from fastism.sequences import FastaRecord, one_hot, read_fasta, to_string

PROMOTERS = Path(__file__).resolve().parents[1] / "data" / "dm3_promoters_2kb.fa.gz"


# ---------------------------------------------------------------- one-hot


def test_one_hot_by_hand():
    encoded = one_hot(["ACGT", "ttaa"])
    assert encoded.dtype == np.float32
    assert encoded.flags.writeable
    np.testing.assert_array_equal(encoded[0], np.eye(4))
    np.testing.assert_array_equal(encoded[1], np.eye(4)[[3, 3, 0, 0]])


def test_a_single_string_is_one_sequence():
    assert one_hot("ACGTA").shape == (1, 5, 4)


def test_any_iterable_of_strings():
    np.testing.assert_array_equal(one_hot(s for s in ("AC", "GT")), one_hot(["AC", "GT"]))


def test_the_alphabet_orders_the_channels():
    np.testing.assert_array_equal(one_hot("TGCA", alphabet="tgca")[0], np.eye(4))
    assert one_hot("MKV-", alphabet="ACDEFGHIKLMNPQRSTVWY-").shape == (1, 4, 21)


@pytest.mark.parametrize("character", ["N", "n", "R", "-", "?", "é", "→"])
def test_characters_outside_the_alphabet(character):
    with pytest.raises(
        FastISMError, match=r"Sequence 1 has .* at position 2 .*'ACGT'.*ambiguous=\"zero\""
    ):
        one_hot(["ACGT", f"AC{character}{character}"])
    encoded = one_hot(["ACGT", f"AC{character}T"], ambiguous="zero")
    np.testing.assert_array_equal(encoded[1], np.eye(4)[[0, 1, 2, 3]] * [[1], [1], [0], [1]])
    assert encoded.sum() == 7


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], "no sequence"),
        ("", "length 0"),
        (["", ""], "length 0"),
        (["ACG", "AC"], "Sequence 1 has length 2, sequence 0 has length 3"),
        (["ACG", None], "Sequence 1 is a NoneType"),
        ([FastaRecord("a", "ACG")], r"pass its \.sequence"),
        ([b"ACG"], "Sequence 0 is a bytes"),
    ],
    ids=["nothing", "an empty string", "empty strings", "two lengths", "None", "a record", "bytes"],
)
def test_what_cannot_be_encoded(sequences, message):
    with pytest.raises(FastISMError, match=message):
        one_hot(sequences)


@pytest.mark.parametrize("alphabet", ["", "ACGTA", "aA", "ACG?", "ACGÄ", None])
def test_bad_alphabets(alphabet):
    with pytest.raises(FastISMError, match="alphabet"):
        one_hot("A", alphabet=alphabet)
    with pytest.raises(FastISMError, match="alphabet"):
        to_string(np.zeros((1, 1, 4)), alphabet=alphabet)


def test_unknown_setting_for_ambiguous():
    with pytest.raises(FastISMError, match=r'"error".*"zero"'):
        one_hot("A", ambiguous="mean")


# ---------------------------------------------------------------- decoding


@given(
    st.integers(1, 12).flatmap(
        lambda length: st.lists(st.text("ACGTacgtN", min_size=length, max_size=length), min_size=1)
    )
)
def test_decoding_inverts_encoding(sequences):
    encoded = one_hot(sequences, ambiguous="zero")
    assert to_string(encoded) == [sequence.upper() for sequence in sequences]


def test_decoding_takes_other_dtypes_and_letters():
    encoded = one_hot("ACN", ambiguous="zero")
    assert to_string(encoded.astype(np.int8).tolist()) == ["ACN"]
    assert to_string(encoded.astype(bool), alphabet="WXYZ", unknown="-") == ["WX-"]


def test_decoding_nothing():
    assert to_string(np.zeros((0, 5, 4))) == []
    assert to_string(np.zeros((2, 0, 4))) == ["", ""]


@pytest.mark.parametrize("shape", [(3, 4), (4,), (1, 3, 5), (1, 1, 3, 4)])
def test_decoding_refuses_other_shapes(shape):
    with pytest.raises(FastISMError, match=r"expected \(sequences, length, 4\)"):
        to_string(np.zeros(shape))


@pytest.mark.parametrize(
    "row", [[1, 1, 0, 0], [0.5, 0.5, 0, 0], [2, 0, 0, 0], [1, -1, 0, 0], [np.nan, 0, 0, 0]]
)
def test_decoding_refuses_rows_that_are_not_one_hot(row):
    encoded = one_hot(["ACGT", "ACGT"])
    encoded[1, 2] = row
    with pytest.raises(FastISMError, match="sequence 1 at position 2"):
        to_string(encoded)


@pytest.mark.parametrize("unknown", ["A", "a", "", "NN", "é"])
def test_decoding_refuses_a_confusing_unknown(unknown):
    with pytest.raises(FastISMError, match="unknown="):
        to_string(np.zeros((1, 1, 4)), unknown=unknown)


# ---------------------------------------------------------------- FASTA

FASTA = ">first some words\nACGT\nacg\n\n> second \r\nNNN\r\n"
RECORDS = [FastaRecord("first some words", "ACGTacg"), FastaRecord("second", "NNN")]


def written(tmp_path, content, name="x.fa"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_reading(tmp_path):
    assert list(read_fasta(written(tmp_path, FASTA))) == RECORDS
    assert list(read_fasta(str(tmp_path / "x.fa"))) == RECORDS


def test_no_line_end_at_the_end(tmp_path):
    assert list(read_fasta(written(tmp_path, FASTA.rstrip()))) == RECORDS


@pytest.mark.parametrize("name", ["x.fa.gz", "misnamed.fa"])
def test_gzip_is_recognised_by_content(tmp_path, name):
    assert list(read_fasta(written(tmp_path, gzip.compress(FASTA.encode()), name))) == RECORDS


def test_concatenated_gzip_is_read_whole(tmp_path):
    parts = FASTA.encode().split(b"\n\n")
    content = gzip.compress(parts[0] + b"\n") + gzip.compress(parts[1])
    assert list(read_fasta(written(tmp_path, content))) == RECORDS


def test_limit(tmp_path):
    path = written(tmp_path, FASTA)
    assert list(read_fasta(path, limit=1)) == RECORDS[:1]
    assert list(read_fasta(path, limit=5)) == RECORDS
    for limit in (0, -1, 1.5, "2"):
        with pytest.raises(FastISMError, match="limit"):
            read_fasta(path, limit=limit)


def test_reading_is_lazy(tmp_path):
    records = read_fasta(written(tmp_path, FASTA + "stray 1\n"))
    assert next(records) == RECORDS[0]
    with pytest.raises(FastISMError, match="line 7"):
        next(records)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        ("chr1\t10\t20\n", "not FASTA: line 1"),
        ("@read\nACGT\n+\nFFFF\n", "not FASTA: line 1"),
        (">a\n>b\nACGT\n", "'a' has a header but no sequence"),
        (">a\nACGT\n>b\n", "'b' has a header but no sequence"),
        (">a\nAC-GT\n", "line 2: '-'"),
        (">a\nAC GT\n", "line 2: ' '"),
        (">a\nACÄT\n", "line 2: 'Ä'"),
        (b">a\nAC\xff\n", "line 2: 'ÿ'"),
        (b"\x89PNG\r\n\x1a\n", "not FASTA: line 1"),
        (b"\x7fELF\0\0", "is not text"),
        (">a\nACGT\n".encode("utf-16"), "is not text"),
    ],
    ids=[
        "empty",
        "blank",
        "empty gzip",
        "BED",
        "FASTQ",
        "first without sequence",
        "last without sequence",
        "gap",
        "space",
        "umlaut",
        "not UTF-8",
        "an image",
        "a program",
        "UTF-16",
    ],
)
def test_what_is_not_fasta(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(FastISMError, match=message) as error:
        list(read_fasta(path))
    assert str(path) in str(error.value)


def test_truncated_and_damaged_gzip(tmp_path):
    whole = bytearray(gzip.compress(FASTA.encode() * 50))
    with pytest.raises(FastISMError, match="truncated or damaged gzip"):
        list(read_fasta(written(tmp_path, bytes(whole[:-12]))))
    whole[len(whole) // 2] ^= 0xFF
    with pytest.raises(FastISMError, match="truncated or damaged gzip"):
        list(read_fasta(written(tmp_path, bytes(whole))))
    with pytest.raises(FastISMError, match="truncated or damaged gzip"):
        list(read_fasta(written(tmp_path, b"\x1f\x8b")))


def test_missing_file_and_folder_are_refused_at_once(tmp_path):
    with pytest.raises(FastISMError, match=r"no file .*none\.fa"):
        read_fasta(tmp_path / "none.fa")
    with pytest.raises(FastISMError, match="cannot be read"):
        read_fasta(tmp_path)


def test_the_promoters_are_as_described():
    records = list(read_fasta(PROMOTERS))
    assert len(records) == 17_263
    assert len({record.name for record in records}) == 17_263
    assert records[0].name == "chr2L:16764737-16766736(+) NM_078863"
    assert {len(record.sequence) for record in records} == {2000}
    encoded = one_hot(record.sequence for record in records[:100])
    assert encoded.shape == (100, 2000, 4)
    assert (encoded.sum(axis=2) == 1).all()
    assert to_string(encoded) == [record.sequence for record in records[:100]]


def test_headers_of_other_days_are_read(tmp_path):
    """A byte order mark, bytes of Latin-1, and line ends of old editors."""
    path = written(tmp_path, b"\xef\xbb\xbf>caf\xe9 x\rAC\r>\xc3\xa9\rGT\r")
    assert list(read_fasta(path)) == [FastaRecord("café x", "AC"), FastaRecord("é", "GT")]
