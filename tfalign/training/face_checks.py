"""What is checked of the faces of a training, and told of them, before it begins.

What would otherwise come to light at its end, or never.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfalign.data import inspection, sets
from tfalign.data.pipeline import CropCache
from tfalign.data.readers.reader import Reader
from tfalign.data.readers.record import Record
from tfalign.evaluation.boxes import box_of, dividing_box, trained_box
from tfalign.evaluation.protocols import Protocol, get_protocol

Faces = Reader | CropCache
_MIRROR_FACES = 20  # Of fewer, the mean face is often no mirror image of itself.


def check_apart(further: Sequence[Faces], apart: Sequence[Faces | None]) -> None:
    """Raises ``ValueError`` where further faces lie in a photograph that is kept apart.

    A set keeps its own faces apart by itself; of another set only the files tell.
    """

    def records(of: Sequence[Faces | None]) -> list[Record]:
        return [record for faces in of for record in records_of(faces)]

    for _, path, twin in sets.same_pictures(records(further), records(apart)):
        raise ValueError(
            "Faces of further sets must not lie in photographs that are held out or measured "
            f"on: take these out of one of the sets. Received: {path} and {twin}, the same picture"
        )


def records_of(faces: Faces | None) -> list[Record]:
    """Returns the records of a reader; of crops and of nothing there are none."""
    return faces.records if isinstance(faces, Reader) else []


def tell_of_shared(trained: Faces, others: Mapping[str, Faces | None]) -> None:
    """Says how many faces to watch or measure on lie in photographs that are trained on.

    That is no error: official splits divide photographs, too.
    """
    for purpose, faces in others.items():
        if not (isinstance(trained, Reader) and isinstance(faces, Reader)):
            continue
        if shared := sum(1 for _ in sets.same_pictures(faces.records, trained.records)):
            print(
                f"{shared} of {len(faces)} faces to {purpose} lie in photographs that are trained "
                "on: their error is too small.",
                flush=True,
            )


def tell_of_mirror(cache: CropCache, used: bool) -> None:
    """Says which points' mirror images look wrong, if mirrored faces would teach them, and whether
    left and right are the picture's: the model's names would be others' opposite."""
    if len(cache) < _MIRROR_FACES or not cache.annotated.any(axis=0).all():
        return
    found = inspection.check_mirror(cache.mean_shape, cache.scheme)
    if found.sides is False:
        print(
            "Points that say right lie on the picture's right: left and right must be the "
            "subject's, as in shipped weights and further sets; or the pictures are mirrored.",
            flush=True,
        )
    if used and found.wrong:
        told = (f"that of {p} is said to be {own}, {better} fits" for p, own, better in found.wrong)
        print(
            f"Mirror images look wrong, and mirrored faces would teach them: {'; '.join(told)}. "
            "`tfalign inspect` shows the points; a scheme's flip_pairs (--scheme) say what is "
            "right.",
            flush=True,
        )


def check_protocol(protocol: str | Protocol, measured: Faces | None) -> None:
    """Raises ``ValueError`` for a protocol that is none, or that does not score these faces.

    Before the training, at whose end it would come to light.
    """
    chosen = get_protocol(protocol)
    if measured is not None and measured.scheme != chosen.scheme:
        raise ValueError(
            f"The protocol {chosen.name!r} scores faces of its own scheme: give that one to the "
            "faces, too (--scheme), or theirs to the protocol; name, points and edges must be "
            f"equal. Received: the scheme {chosen.scheme.name!r} of {chosen.scheme.num_points} "
            f"points, and faces of {measured.scheme.name!r} of {measured.scheme.num_points}"
        )


def check_normalizers(protocol: Protocol, faces: Faces | None) -> None:
    """Raises ``ValueError`` where a face lacks what its error is divided by, as an eye."""
    if not isinstance(faces, Reader) or faces.scheme.points != protocol.scheme.points:
        return
    without = []
    for record in faces.records:
        points = np.where(record.annotated[:, None], record.landmarks, np.nan)
        box = dividing_box(record, protocol)
        try:
            protocol.normalizers(
                points[None].astype(np.float64), None if box is None else box[None]
            )
        except ValueError:
            without.append(record)
    if without:
        raise ValueError(
            "Each face to watch or to measure on must have what errors are divided by, the "
            f"{protocol.normalizer.meaning}: annotate it, leave such faces out, or divide by "
            "something else (--protocol, or the scheme's `normalizer`; 'diagonal' is that of the "
            f"box). Received: {len(without)} of {len(faces)} faces without, the first "
            f"{without[0].name!r}, {without[0].where}"
        )


def check_boxes(trained: Sequence[Faces], measured: Faces | None) -> None:
    """Raises ``ValueError`` where faces cannot be measured on by the boxes that are trained on.

    Before the training, at whose end it would come to light.
    """
    if not isinstance(measured, Reader) or trained_box(trained) != "file":
        return
    if box_of(measured) != "file":
        without = sum(record.box_source != "file" for record in measured.records)
        raise ValueError(
            "Faces to measure on must have boxes of their own where those to train on have: add "
            "them, or train on the points' tight boxes (--box landmarks). Received: "
            f"{without} of {len(measured)} faces to measure on without"
        )
