"""Word vectors: the text reader with its errors, the vocabulary, its control."""

import gzip

import pytest
import torch

from wsss_lib.data.words import WordVectors, read_glove, without_zero_vectors, write_glove

TEXT = "the 0.1 -0.2 0.3\nof 1.5 2.25 -3\ncat 0.5 0 -0.125\n"


@pytest.fixture
def file(tmp_path):
    def write(text, name="vectors.txt"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / name

    return write


def test_any_dimension_and_a_header(file):
    for text, dimension in ((TEXT, 3), ("2 1\na 1\nb 2\n", 1), ("a 1 2 3 4 5 6 7\n", 7)):
        assert read_glove(file(text)).vectors.shape[1] == dimension
    assert read_glove(file("2 1\na 1\nb 2\n")).words == ("a", "b")


def test_packed_files_and_other_blanks(file):
    path = file(gzip.compress("a\u00a0b 1 2\nc 3 4\n".encode()), "vectors.txt.gz")
    assert read_glove(path).words == ("a\u00a0b", "c")


def test_a_choice_of_words_and_a_number_of_lines(file):
    assert read_glove(file(TEXT), keep={"cat", "dog"}).words == ("cat",)
    assert read_glove(file(TEXT), max_words=2).words == ("the", "of")
    assert read_glove(file("a 1 0\nb 2 0\na 3 0\n")).index == {"a": 2, "b": 1}, "the last of a repeated word"


def test_zero_vectors_and_unreadable_words_are_left_out(file):
    assert read_glove(file(b"zero 0 0\n\xff\xfe 1 2\nok 1 0\n")).words == ("ok",)
    words = without_zero_vectors(WordVectors(("a", "b"), torch.tensor([[0.0, 0.0], [3.0, 4.0]])))
    assert words.words == ("b",) and torch.allclose(words.directions, torch.tensor([[0.6, 0.8]]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1 2\nb 1\n", "line 2 of .* has 2 fields, the first line 3"),
        ("a 1 2\nb 1 x\n", "line 2 of .* no number"),
        ("a 1 2\nb 1 nan\n", "line 2 of .* not finite"),
        ("", "vocabulary is empty"),
        ("word\n", "line 1 of .* fields"),
    ],
)
def test_malformed_files_are_refused_by_line(file, text, message):
    with pytest.raises(ValueError, match=message):
        read_glove(file(text))


def test_missing_files_and_empty_vocabularies(file, tmp_path):
    with pytest.raises(FileNotFoundError, match="download glove"):
        read_glove(tmp_path / "none.txt")
    with pytest.raises(ValueError, match="vocabulary is empty"):
        read_glove(file(TEXT), keep={"zebra"})
    with pytest.raises(ValueError, match="vocabulary is empty"):
        WordVectors((), torch.zeros(0, 3))
    with pytest.raises(ValueError, match="one vector a word"):
        WordVectors(("a",), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="no vector for 1 words: zebra"):
        read_glove(file(TEXT)).rows(["cat", "zebra"])


def test_written_vectors_are_read_back(file, tmp_path):
    words = read_glove(file(TEXT))
    write_glove(tmp_path / "out.txt", words)
    again = read_glove(tmp_path / "out.txt")
    assert again.words == words.words and torch.allclose(again.vectors, words.vectors)


def test_the_control_keeps_words_and_vectors_but_not_their_pairs():
    words = WordVectors(tuple("abcdefgh"), torch.arange(1.0, 9.0)[:, None])
    control = words.permuted(0)
    assert control.words == words.words and sorted(control.vectors.flatten().tolist()) == list(range(1, 9))
    assert not torch.equal(control.vectors, words.vectors)
    assert torch.equal(control.vectors, words.permuted(0).vectors)
