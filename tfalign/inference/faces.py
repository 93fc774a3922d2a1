"""The faces of one or several images, as arrays, tables and files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from tfalign.files import write_whole
from tfalign.inference.face import Face
from tfalign.inference.names import Names

if TYPE_CHECKING:
    import pandas as pd


class Faces(Sequence[Face]):
    """Faces in the order of their images; a sequence that also slices.

    Args:
        faces: The faces.
        sources: One path, or None, per image that was looked at, with or without a face.
        num_landmarks: n, so that ``landmarks`` has its shape where there is no face.
        first: Number of the first image, so that one frame of a film can stand alone.
        left_out: How many detections in each image were left out because of their quality; None
            for none.
        errors: Why an image could not be used, or None, for each image; None for no error.
        sizes: (height, width) of each upright image in pixels, or None where it is not known; None
            for none known.

    Raises:
        ValueError: If ``left_out``, ``errors`` or ``sizes`` has not one entry per image.
    """

    def __init__(
        self,
        faces: Iterable[Face],
        sources: Sequence[str | None],
        num_landmarks: int,
        first: int = 0,
        left_out: Sequence[int] | None = None,
        errors: Sequence[str | None] | None = None,
        sizes: Sequence[tuple[int, int] | None] | None = None,
    ) -> None:
        self._faces = tuple(faces)
        self.sources = tuple(sources)
        self.num_landmarks = num_landmarks
        self.first = first
        self.left_out = (0,) * len(self.sources) if left_out is None else tuple(left_out)
        self.errors = (None,) * len(self.sources) if errors is None else tuple(errors)
        self.sizes = (None,) * len(self.sources) if sizes is None else tuple(sizes)
        lengths = [len(self.left_out), len(self.errors), len(self.sizes)]
        if lengths != 3 * [len(self.sources)]:
            raise ValueError(
                "`left_out`, `errors` and `sizes` must have one entry per image. Received: "
                f"{lengths} entries for {len(self.sources)} images"
            )

    @classmethod
    def joined(cls, parts: Iterable[Faces], num_landmarks: int) -> Faces:
        """Joins the faces of images that follow each other.

        Args:
            parts: In the order of their images.
            num_landmarks: n, for the case that there is no part.
        """
        listed = list(parts)
        return cls(
            [face for part in listed for face in part],
            [source for part in listed for source in part.sources],
            num_landmarks,
            listed[0].first if listed else 0,
            [count for part in listed for count in part.left_out],
            [error for part in listed for error in part.errors],
            [size for part in listed for size in part.sizes],
        )

    def __len__(self) -> int:
        return len(self._faces)

    @overload
    def __getitem__(self, index: int) -> Face: ...
    @overload
    def __getitem__(self, index: slice) -> Faces: ...
    def __getitem__(self, index: int | slice) -> Face | Faces:
        if isinstance(index, slice):
            found = self._faces[index]
            return Faces(
                found,
                self.sources,
                self.num_landmarks,
                self.first,
                self.left_out,
                self.errors,
                self.sizes,
            )
        return self._faces[index]

    def __repr__(self) -> str:
        qualities = ", ".join(f"{face.quality:.2f}" for face in self._faces[:8])
        more = ", …" if len(self) > 8 else ""
        return f"<{len(self)} faces in {self.images} images, quality [{qualities}{more}]>"

    @property
    def images(self) -> int:
        """Number of images (or frames) that were looked at."""
        return len(self.sources)

    @property
    def landmarks(self) -> np.ndarray:
        """(faces, n, 2) float64, image pixels."""
        found = [face.landmarks for face in self._faces]
        return np.array(found, np.float64).reshape(-1, self.num_landmarks, 2)

    @property
    def boxes(self) -> np.ndarray:
        """(faces, 4) float64, image pixels."""
        return np.array([face.box for face in self._faces], np.float64).reshape(-1, 4)

    @property
    def quality(self) -> np.ndarray:
        """(faces,) float64 in [0, 1]."""
        return np.array([face.quality for face in self._faces], np.float64)

    def by_image(self) -> list[Faces]:
        """Returns the faces of every image, an empty ``Faces`` for one without.

        The faces keep their image's number; ``sources`` is that image's alone.
        """
        groups: list[list[Face]] = [[] for _ in self.sources]
        for face in self._faces:
            groups[face.image - self.first].append(face)
        return [
            Faces(
                group, [source], self.num_landmarks, self.first + index, [left_out], [error], [size]
            )
            for index, (group, source, left_out, error, size) in enumerate(
                zip(groups, self.sources, self.left_out, self.errors, self.sizes, strict=True)
            )
        ]

    def to_frame(self) -> pd.DataFrame:
        """Returns a table with one row per face: image, quality, box, then x0, y0, x1, y1, …"""
        import pandas as pd

        columns: dict[str, Any] = {
            "image": [face.image for face in self._faces],
            "source": [face.source for face in self._faces],
            "track": pd.array([face.track for face in self._faces], dtype="Int64"),
            "seconds": pd.array([face.seconds for face in self._faces], dtype="Float64"),
            "quality": self.quality,
            "expected_nme": [face.expected_nme for face in self._faces],
        }
        for index, name in enumerate(("box_x0", "box_y0", "box_x1", "box_y1")):
            columns[name] = self.boxes[:, index]
        flat = self.landmarks.reshape(len(self), 2 * self.num_landmarks)
        names = [f"{axis}{index}" for index in range(self.num_landmarks) for axis in "xy"]
        return pd.concat([pd.DataFrame(columns), pd.DataFrame(flat, columns=names)], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data: ``images`` (all that is known of each) and ``faces``."""
        return {
            "coordinates": "pixels, 0-based, centre of the first pixel at (0.5, 0.5)",
            "images": [
                {
                    "image": self.first + k,
                    "source": source,
                    "height": size[0] if size else None,
                    "width": size[1] if size else None,
                    "error": error,
                    "left_out": left_out,
                }
                for k, (source, size, error, left_out) in enumerate(
                    zip(self.sources, self.sizes, self.errors, self.left_out, strict=True)
                )
            ],
            "faces": [face.to_dict() for face in self._faces],
        }

    def to_json(self, indent: int | None = None) -> str:
        """Returns ``to_dict`` as JSON text."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    def write_json(self, path: str | os.PathLike[str]) -> Path:
        """Writes ``to_json`` to a file, whole or not at all."""
        path = Path(path)
        write_whole(path, (self.to_json() + "\n").encode())
        return path

    def write_csv(self, path: str | os.PathLike[str]) -> Path:
        """Writes ``to_frame`` to a CSV file, whole or not at all."""
        path = Path(path)
        write_whole(path, self.to_frame().to_csv(index=False, float_format="%.4f").encode())
        return path

    def write_pts(
        self, folder: str | os.PathLike[str], stems: Sequence[str] | None = None
    ) -> list[Path]:
        """Writes one ``.pts`` file per face into a folder, named after its image (300-W style).

        A single face of ``a.jpg`` becomes ``a.pts``, several ``a.1.pts``, ``a.2.pts``, …

        Args:
            folder: The folder.
            stems: A name for each image, safe as a file's; None makes them of the sources.

        Returns:
            The files, in the order of the faces.

        Raises:
            NotADirectoryError: If the folder does not exist.
            ValueError: If there is not one stem per image.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise NotADirectoryError(f"`folder` must exist. Received: folder={str(folder)!r}")
        if stems is None:
            named = Names()
            stems = [named.give(source or f"image_{i}") for i, source in enumerate(self.sources)]
        if len(stems) != self.images:
            raise ValueError(
                "`stems` must have one entry per image. Received: "
                f"{len(stems)} entries for {self.images} images"
            )
        of_image = [face.image - self.first for face in self._faces]
        names = []
        for index, image in enumerate(of_image):
            number = f".{of_image[: index + 1].count(image)}" if of_image.count(image) > 1 else ""
            names.append(f"{stems[image]}{number}")
        return [
            face.write_pts(folder / f"{stem}.pts")
            for face, stem in zip(self._faces, names, strict=True)
        ]
