"""What a data set is, how large it is, and how a user gets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Description:
    """Facts about a data set, for people and for tables.

    Attributes:
        name: Name of the reader's module.
        title: Full name.
        scheme: Name of the landmark scheme.
        counts: Faces of each split in the official release.
        training: The splits that a model may be trained, tuned or calibrated on. Every other one
            (also a reader's further ones, such as all faces together) holds test faces.
        aliases: Further names for splits or groups of them.
        layout: Files expected below the root.
        coordinates: The convention of the files and how it is converted to image space.
        licence: Terms of use.
        source: Where a user gets it.
        citation: The paper to cite.
    """

    name: str
    title: str
    scheme: str
    counts: Mapping[str, int]
    training: tuple[str, ...]
    aliases: Mapping[str, tuple[str, ...]]
    layout: str
    coordinates: str
    licence: str
    source: str
    citation: str

    def test_splits(self, splits: Sequence[str]) -> list[str]:
        """Returns those of ``splits`` (names or aliases) that hold other faces than training's."""
        return [
            split
            for split in splits
            if not set(self.aliases.get(split, (split,))) <= set(self.training)
        ]

    def table(self) -> str:
        """Returns the description as plain text."""
        splits = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        aliases = ", ".join(f"{name} = {' + '.join(of)}" for name, of in self.aliases.items())
        rows = [
            ("splits (faces)", splits),
            ("of training", ", ".join(self.training)),
            ("aliases", aliases or "none"),
            ("scheme", self.scheme),
            ("layout", self.layout),
            ("coordinates", self.coordinates),
            ("licence", self.licence),
            ("source", self.source),
            ("citation", self.citation),
        ]
        return "\n".join([self.title, *(f"  {label + ':':<16}{text}" for label, text in rows)])
