"""Word vectors: GloVe text files of any dimension, and a vocabulary whose directions are compared."""

import gzip
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

SHOWN_LINES = 50_000  # a bar is worth its line from here on


@dataclass(frozen=True)
class WordVectors:
    """A vocabulary.

    Attributes:
        words: [V], in the order of the file, most frequent first.
        vectors: float32 [V, E], none of them zero.
    """

    words: tuple[str, ...]
    vectors: Tensor

    def __post_init__(self):
        if not self.words:
            raise ValueError("the vocabulary is empty; check the file of word vectors, and the words asked for")
        if len(self.words) != len(self.vectors):
            raise ValueError(f"{len(self.words)} words with {len(self.vectors)} vectors; give one vector a word")

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def index(self) -> dict[str, int]:
        """Row of each word; of a repeated word the last row."""
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def directions(self) -> Tensor:
        """Vectors of length one, [V, E]."""
        return torch.nn.functional.normalize(self.vectors, dim=1)

    def rows(self, words: Iterable[str]) -> list[int]:
        """Rows of some words.

        Raises:
            ValueError: a word has no vector; the message lists those.
        """
        words = list(words)
        if missing := sorted({word for word in words if word not in self.index}):
            raise ValueError(f"no vector for {len(missing)} words: {', '.join(missing[:10])}; leave their concepts out")
        return [self.index[word] for word in words]

    def permuted(self, seed: int) -> "WordVectors":
        """The same words with each other's vectors: a control in which words carry no meaning."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return WordVectors(self.words, self.vectors[order])


def without_zero_vectors(words: WordVectors) -> WordVectors:
    """Words whose vector has a length; a cosine with a zero vector is not a number, and would top every list."""
    kept = (words.vectors.norm(dim=1) > 0).tolist()
    names = tuple(word for word, keep in zip(words.words, kept, strict=True) if keep)
    return WordVectors(names, words.vectors[torch.tensor(kept)])


def read_glove(
    path: Path | str, *, max_words: int | None = None, keep: Collection[str] | None = None, progress: bool = False
) -> WordVectors:
    """Word vectors of a text file (GloVe, word2vec, fastText): a word and its numbers a line, with single blanks.

    The dimension is that of the first line; a first line of two fields is a header and is skipped. Words that are not
    UTF-8 and zero vectors are left out.

    Args:
        path: ``.txt``, ``.vec`` or the like, or the same packed as ``.gz``.
        max_words: only so many lines, the first of the file, which holds the most frequent words.
        keep: only these words.
        progress: show a bar for long files.

    Raises:
        FileNotFoundError: no such file; the message says how to fetch GloVe.
        ValueError: a line has another number of fields than the first, or something that is no number; the message
            names the line. Or no word is left.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no word vectors at {path}; `python -m wsss_lib.data.download glove` fetches GloVe 6B")
    words: list[str] = []
    rows: list[np.ndarray] = []
    dimension = 0
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as stream:
        lines = tqdm(stream, unit=" words", disable=not progress, mininterval=2, miniters=SHOWN_LINES)
        for number, line in enumerate(lines, start=1):
            fields = line.rstrip().split(b" ")  # the byte 0x20 only: words may hold other blanks
            if (number == 1 and len(fields) == 2) or not line.strip():
                continue
            if max_words and len(words) >= max_words:
                break
            dimension = dimension or len(fields) - 1
            if len(fields) != dimension + 1 or not dimension:
                raise ValueError(
                    f"line {number} of {path} has {len(fields)} fields, the first line {dimension + 1}; a line is a "
                    "word and its numbers, separated by single blanks (is the file damaged or of another kind?)"
                )
            try:
                word = fields[0].decode()
            except UnicodeDecodeError:
                continue
            if keep is None or word in keep:
                words.append(word)
                rows.append(_numbers(fields[1:], number, path))
    if not words:
        raise ValueError(f"the vocabulary is empty: {path} holds none of the words asked for")
    return without_zero_vectors(WordVectors(tuple(words), torch.from_numpy(np.stack(rows))))


def _numbers(fields: list[bytes], number: int, path: Path) -> np.ndarray:
    try:
        values = np.array(fields, dtype="S").astype(np.float32)
    except ValueError as error:
        raise ValueError(f"line {number} of {path} holds something that is no number: {error}") from error
    if not np.isfinite(values).all():
        raise ValueError(f"line {number} of {path} holds a number that is not finite")
    return values


def write_glove(path: Path, words: WordVectors) -> None:
    """Word vectors as GloVe writes them, for :func:`read_glove` and other programs."""
    rows = (" ".join([word, *(f"{value:.6g}" for value in row)])
            for word, row in zip(words.words, words.vectors.tolist(), strict=True))  # fmt: skip
    path.write_text("\n".join([*rows, ""]), encoding="utf-8")
