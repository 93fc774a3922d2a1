"""Aligns photographs on the machines of a Ray cluster: a row for each, to Parquet.

    python recipes/align_many.py album/ --out rows
    python recipes/align_many.py --list photographs.txt --workers 8 --out rows
    python recipes/align_many.py --paths s3://bucket/album/ --workers 64 --out s3://bucket/rows
    python recipes/align_many.py --parquet s3://bucket/table/ --workers 64 --out s3://bucket/rows

Photographs are files, folders and patterns that every machine sees, or files that Ray reads
(--paths: folders, object stores), or rows of Parquet tables with the columns "path" and "bytes"
(--parquet). The rows are those of `tfalign align --parquet`: a photograph that cannot be read has
its error. Each worker holds one Aligner; one that dies is started again by Ray, and what it was
doing with it. Without a cluster (RAY_ADDRESS) the cores of this machine are one.

For one machine `tfalign align` is enough, continues a killed run, and also writes pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfalign.argument_help import ArgumentParser
from tfalign.cli.aligner_options import add_aligner_options, aligner_keywords
from tfalign.cli.program import run_recipe
from tfalign.inference import VIDEO_SUFFIXES, Aligner, Faces, find_inputs, picture_row
from tfalign.inference.images import decode_image
from tfalign.inference.jobs import listed_paths, row_schema
from tfalign.inference.names import shown


def options() -> argparse.ArgumentParser:
    """Returns the program's options."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("inputs", nargs="*", help="Photographs, folders of them, or patterns.")
    parser.add_argument("--list", type=Path, help="Read further photographs from a file.")
    parser.add_argument("--paths", nargs="+", help="Files or folders that Ray itself reads.")
    parser.add_argument("--parquet", nargs="+", help="Parquet tables with photographs' bytes.")
    parser.add_argument("--out", required=True, help="The new folder of the Parquet files.")
    parser.add_argument("--workers", type=int, default=2, help="The number of Aligners.")
    parser.add_argument("--batch", type=int, default=16, help="Photographs of one task.")
    add_aligner_options(parser)
    return parser


class AlignBatch:
    """What each worker holds.

    Args:
        keywords: Of ``Aligner``.
    """

    def __init__(self, keywords: Mapping[str, Any]) -> None:
        self.aligner = Aligner(**keywords)

    def __call__(self, batch: Any) -> Any:
        """Maps an Arrow table of ``path`` and ``bytes`` to one of rows (``picture_row``)."""
        import pyarrow as pa

        schema = row_schema(pa)
        rows = [
            self._row(path.as_py(), content.as_py())
            for path, content in zip(batch["path"], batch["bytes"], strict=True)
        ]
        return pa.Table.from_pylist([{n: row[n] for n in schema.names} for row in rows], schema)

    def _row(self, path: str, content: bytes) -> dict[str, Any]:
        try:
            faces = self.aligner.align(decode_image(content, self.aligner.max_pixels))
        except ValueError as error:
            told = f"{path}: {' '.join(str(error).split())}"
            faces = Faces([], [path], self.aligner.num_landmarks, errors=[told])
        return picture_row(faces, path)


def align(
    data: Any,
    out: str,
    keywords: Mapping[str, Any],
    workers: int = 2,
    batch: int = 16,
    worker: type[AlignBatch] = AlignBatch,
) -> None:
    """Aligns photographs and writes their rows.

    Args:
        data: Ray data set with the columns ``path`` and ``bytes``.
        out: Folder of the Parquet files.
        keywords: Of ``Aligner``.
        workers: Number of Aligners.
        batch: Photographs of one task.
        worker: What each worker holds.
    """
    import ray

    rows = data.map_batches(
        worker,
        fn_constructor_args=(dict(keywords),),
        batch_size=batch,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers),
    )
    rows.write_parquet(out)


def read(arguments: argparse.Namespace) -> Any:
    """Returns the photographs as a Ray data set of ``path`` and ``bytes``; tells what it leaves."""
    import ray

    if arguments.parquet:
        return ray.data.read_parquet(arguments.parquet, columns=["path", "bytes"])
    paths = list(arguments.paths or [])
    given = list(arguments.inputs)
    if arguments.list is not None:
        with arguments.list.open("rb") as file:
            given += listed_paths(file)
    if given:
        found = find_inputs(given, recursive=True)
        clips = {path for path in found.paths if path.suffix.lower() in VIDEO_SUFFIXES}
        left_out = [*found.left_out, *((path, "a clip") for path in sorted(clips))]
        for path, reason in left_out:
            print(f"left out: {shown(path)} ({reason})")
        paths += [str(path) for path in found.paths if path not in clips]
    return ray.data.read_binary_files(paths, include_paths=True)


def main() -> dict[str, Any]:
    """Aligns everything; returns where the rows are."""
    arguments = options().parse_args()
    files = [*arguments.inputs, *([arguments.list] if arguments.list else [])]
    if sum(map(bool, (arguments.parquet, arguments.paths, files))) != 1:
        raise ValueError(
            "Give photographs, or --paths, or --parquet, and one kind of them. Received: "
            f"inputs={files}, paths={arguments.paths}, parquet={arguments.parquet}"
        )
    if Path(arguments.out).is_dir() and any(Path(arguments.out).iterdir()):
        raise ValueError(
            f"The folder of the rows must be new or empty. Received: out={arguments.out!r}"
        )
    keywords = aligner_keywords(arguments)
    align(read(arguments), arguments.out, keywords, arguments.workers, arguments.batch)
    return {"out": arguments.out}


if __name__ == "__main__":
    raise SystemExit(run_recipe(main))
