"""A data set in another markup."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tfalign import geometry, markup
from tfalign.data.readers.reader import Reader
from tfalign.data.readers.record import Record


def converted(reader: Reader, scheme: str | markup.LandmarkScheme) -> Reader:
    """Returns a data set's faces with their landmarks converted to another scheme.

    Models of one markup can then be trained on faces annotated in another. Boxes become the tight
    boxes of the new landmarks, since a box belongs to the points that it was drawn around. A
    converted point is visible if all the points that it is the mean of are.

    Args:
        reader: The data set.
        scheme: Scheme of the result, by name or object; every one of its points must be defined,
            see ``tfalign.markup.convert``.

    Returns:
        A reader of the same faces, in the same order.

    Raises:
        ValueError: If the schemes cannot be converted.
    """
    target = markup.get(scheme)

    def one(record: Record) -> Record:
        landmarks = np.asarray(markup.convert(record.landmarks, reader.scheme, target), np.float32)
        # As coordinates, so that the schemes' own conversion says which points make up which.
        hidden = np.repeat(~record.visible[:, None], 2, axis=1).astype(np.float32)
        visible = np.asarray(markup.convert(hidden, reader.scheme, target))[:, 0] == 0
        return replace(
            record,
            landmarks=landmarks,
            visible=visible,
            box=np.asarray(geometry.box_from_landmarks(landmarks), np.float32),
            box_source="landmarks",
            anywhere=None,
        )

    records = [one(record) for record in reader.records]
    return Reader(reader.dataset, target, records, reader.report)
