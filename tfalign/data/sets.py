"""The data sets by name: where each one's faces are, how they are cut out and scored.

>>> faces = sets.get("300w").read("data/300w", "train")
>>> sets.register(DataSet(name="mine", reader=my_read, scheme=my_scheme, …))

Every command takes any registered set by its name.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tfalign import geometry, markup
from tfalign.data.readers import (
    aflw19,
    coco,
    cofw,
    csv_table,
    helen194,
    imglab,
    lfpw29,
    menpo,
    pts,
    w300,
    wflw,
    ytf,
)
from tfalign.data.readers.conversion import converted
from tfalign.data.readers.reader import Reader, expand_splits, photograph_of
from tfalign.data.readers.record import Record
from tfalign.data.readers.report import OnError
from tfalign.files import sha256


def _photograph(record: Record) -> str:
    return photograph_of(record.name)


def _w300_photograph(record: Record) -> str:
    # Faces of one photograph are numbered, NAME_1.jpg, NAME_2.jpg; but in these folders the number
    # is the photograph's: image_0001.jpg.
    name = record.name.rsplit(".", 1)[0]
    if name.startswith(("lfpw/", "01_Indoor/", "02_Outdoor/")):
        return name
    return name.rsplit("_", 1)[0]


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What programs need to know of a data set.

    Attributes:
        name: What users type, e.g. ``"300w"``.
        summary: Full name, in a line.
        reader: ``reader(root, splits, on_error) -> Reader``.
        scheme: The landmark scheme of all its faces; None where the files bring theirs.
        files: For each split as the reader knows it, the file or folder below the root whose
            presence tells that the split is there. Empty where any split may exist.
        splits: Further names for splits and for groups of them. ``"train"`` and ``"test"`` are
            always among them or among ``files``.
        training: The splits that a model may be trained, tuned or calibrated on. Every other one
            holds test faces.
        boxes: Where a face's box can come from, the usual source first: ``"file"`` is the set's
            own, ``"landmarks"`` the landmarks' tight box.
        reader_takes_box: Whether the reader has an argument ``box`` for further sources.
        crop: The crop convention of models trained on it, see ``geometry.CROP_PRESETS``.
        protocols: Names of the evaluation protocols that fit, the customary one first.
        protocol: The customary protocol; None where the literature has several, so that one must
            be named, and where the scheme's own normaliser decides.
        counts: Faces of each split in the official release.
        holdout: How many faces of the training splits to hold out where nothing else is said: a
            number, or a share.
        holdout_among: Start of the names among which held-out faces are chosen.
        photograph: Gives for a record what faces of one photograph (or one person) share; such
            faces must not stand on both sides of a split.
        layout: Files expected below the root.
        coordinates: The convention of the files and how it is converted to image space.
        licence: Terms of use.
        where: Where a user gets it.
        citation: The paper to cite.
    """

    name: str
    summary: str
    reader: Callable[..., Reader]
    scheme: markup.LandmarkScheme | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    training: tuple[str, ...] = ("train",)
    boxes: tuple[str, ...] = ("file", "landmarks")
    reader_takes_box: bool = False
    crop: str = "300w"
    protocols: tuple[str, ...] = ()
    protocol: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    holdout: int | float = 0.04
    holdout_among: str = ""
    photograph: Callable[[Record], str] = _photograph
    layout: str = ""
    coordinates: str = ""
    licence: str = ""
    where: str = ""
    citation: str = ""

    @property
    def options(self) -> dict[str, inspect.Parameter]:
        """The arguments that the set's reader takes beside those of every reader."""
        common = ("root", "splits", "on_error", "scheme", "box")
        parameters = inspect.signature(self.reader).parameters
        return {name: value for name, value in parameters.items() if name not in common}

    def parse_options(self, words: Sequence[str]) -> dict[str, Any]:
        """Returns options of the reader that are told as words, ``first_pixel=0.5`` for instance.

        Raises:
            ValueError: If a word is not NAME=VALUE, the reader has no such option, or the value is
                not of its type.
        """
        found: dict[str, Any] = {}
        for word in words:
            name, equals, text = word.partition("=")
            if not equals or name not in self.options or name in found:
                raise ValueError(
                    f"Options of {self.name}'s reader are NAME=VALUE, each once: "
                    f"{', '.join(self.options) or 'it has none'}. Received: {word!r}"
                )
            kind = inspect.formatannotation(self.options[name].annotation).strip("'")
            kind = kind.removesuffix(" | None")
            try:
                found[name] = {"float": float, "int": int, "bool": _truth}.get(kind, str)(text)
            except ValueError as error:
                raise ValueError(
                    f"The option {name} of {self.name}'s reader must be of type {kind}. "
                    f"Received: {word!r}"
                ) from error
        return found

    def expand(self, split: str | Sequence[str]) -> list[str]:
        """Returns the reader's splits that names stand for.

        Raises:
            ValueError: If a name is unknown or stands for a split twice.
        """
        if not self.files:
            return [split] if isinstance(split, str) else list(split)
        return expand_splits(split, list(self.files), self.splits, [])

    def available(self, root: str | Path, split: str | Sequence[str]) -> list[str]:
        """Returns those of the reader's splits of ``split`` whose files are there."""
        names = self.expand(split)
        return [n for n in names if n not in self.files or (Path(root) / self.files[n]).exists()]

    def is_for_training(self, split: str) -> bool:
        """Whether a split, or each of the group that a name stands for, may be trained on."""
        return set(self.expand(split)) <= set(self.training)

    def read(
        self,
        root: str | Path,
        split: str | Sequence[str] | None = None,
        *,
        on_error: OnError = "raise",
        box: str | None = None,
        scheme: str | markup.LandmarkScheme | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Reader:
        """Reads faces of the set.

        Args:
            root: Its folder.
            split: One split or several, by the reader's names or those of ``splits``; None reads
                what the reader finds.
            on_error: ``"raise"``, or ``"skip"`` to leave bad faces out, counted and listed.
            box: One of ``boxes``; None takes the first.
            scheme: Another scheme that the landmarks are converted to; of a set whose files do not
                name their points, the scheme that they have.
            options: Further arguments of the reader, see ``options``.

        Raises:
            FileNotFoundError: If the folder, a list or (``"raise"``) an image is missing.
            ValueError: If an argument is not as above, or (``"raise"``) an annotation is bad.
        """
        if not Path(root).exists():
            raise FileNotFoundError(
                f"There must be {'the folder' if self.files else 'a file or folder'} of the data "
                f"set {self.name!r}; `tfalign data {self.name}` tells its layout. Received: "
                f"root={str(root)!r}, which is not there"
            )
        box = self.boxes[0] if box is None else box
        if box not in self.boxes:
            raise ValueError(
                f"`box` must be among {list(self.boxes)} for {self.name}. Received: box={box!r}"
            )
        if unknown := sorted(set(options) - set(self.options)):
            raise ValueError(
                f"Options of {self.name}'s reader are {', '.join(self.options) or 'none'}. "
                f"Received: {', '.join(unknown)}"
            )
        names = None if split is None else self.expand(split)
        wanted = None if scheme is None else markup.get(scheme)
        if self.scheme is None and wanted is not None:
            options["scheme"] = wanted
        if self.reader_takes_box:
            options["box"] = box
        reader = self.reader(root, names, on_error=on_error, **options)
        if wanted is not None and wanted != reader.scheme:
            return converted(reader, wanted)
        if box == "landmarks" and not self.reader_takes_box:
            return tight_boxes(reader)
        return reader

    def hold_out(
        self, reader: Reader, amount: int | float | None = None, by: str | None = None
    ) -> tuple[Reader, Reader]:
        """Splits training faces into those to train on and those to watch.

        Args:
            reader: The faces.
            amount: How many to hold out, or a share below 1 of them; None is ``holdout``.
            by: What frames of one person share: ``"folder"`` of the image, or the name of an
                attribute. Whole groups are then held out, the last by name, until there are at
                least ``amount`` faces. None holds out the last faces by name.

        Returns:
            (training, held out). With ``by=None`` a face that is not held out itself, but whose
            photograph is, is in neither: the same person in the same light would make the
            held-out error too good. Of files of one's own that goes for copies of a photograph,
            too, whatever they are called.

        Raises:
            ValueError: If ``amount`` leaves no face on a side, or a face lacks the attribute.
        """
        amount = self.holdout if amount is None else amount
        records = sorted(reader.records, key=lambda record: record.name)
        # Where no name starts so (one folder of the set alone), all may be held out.
        among = [r for r in records if r.name.startswith(self.holdout_among)] or records
        count = max(1, round(amount * len(records))) if 0 < amount < 1 else int(amount)
        if (count != amount and amount >= 1) or not 0 < count < len(records) or count > len(among):
            raise ValueError(
                "The number of faces to hold out must be whole, or a share between 0 and 1, and "
                f"leave faces to train on: there are {len(records)}, {len(among)} of which may be "
                f"held out. Received: {amount}"
            )
        if by is None:
            chosen = among[-count:]
            known = {self.photograph(record) for record in chosen}
            inside = {id(record) for record in chosen}
            rest = [r for r in reader.records if self.photograph(r) not in known]
            if not self.files:
                copies = {id(record) for record, *_ in same_pictures(rest, chosen)}
                rest = [r for r in rest if id(r) not in copies]
        else:
            groups: dict[str, list[Record]] = {}
            for record in among:
                groups.setdefault(_group(record, by), []).append(record)
            inside = set()
            for key in sorted(groups, reverse=True):
                if len(inside) >= count:
                    break
                inside |= {id(record) for record in groups[key]}
            rest = [r for r in reader.records if id(r) not in inside]
        if not rest:
            raise ValueError(
                "Holding these faces out must leave some to train on that share neither "
                f"photograph nor group with them. Received: {amount} by {by!r} of {len(records)}"
            )
        return reader.subset(rest), reader.subset([r for r in reader.records if id(r) in inside])

    def table(self) -> str:
        """Returns what is known of the set as plain text."""
        splits = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        groups = ", ".join(f"{name} = {' + '.join(of)}" for name, of in self.splits.items())
        rows = [
            ("splits (faces)", splits or "as given"),
            ("of training", ", ".join(self.training)),
            ("further names", groups or "none"),
            ("scheme", "the file's own" if self.scheme is None else self.scheme.name),
            ("boxes", ", ".join(self.boxes)),
            ("crop", self.crop),
            ("protocols", ", ".join(self.protocols) or "the scheme's normaliser"),
            ("layout", self.layout),
            ("coordinates", self.coordinates),
            ("options", self._told_options()),
            ("licence", self.licence),
            ("where", self.where),
            ("citation", self.citation),
        ]
        lines = [f"  {label + ':':<16}{text}" for label, text in rows if text]
        return "\n".join([f"{self.name}: {self.summary}", *lines])

    def _told_options(self) -> str:
        """Returns a line for each of ``options``: its default, and what the reader says of it."""
        text = inspect.getdoc(self.reader) or ""
        entries = re.findall(
            r"^    (\w+): (.+?)(?=\n    \w|\n\n|\Z)", text, re.MULTILINE | re.DOTALL
        )
        told = {name: " ".join(words.split()).replace("``", "") for name, words in entries}
        lines = [
            f"\n    {o.name}={o.default}: {told.get(o.name, '')}" for o in self.options.values()
        ]
        return "".join(["--reader NAME=VALUE tells the reader", *lines]) if lines else ""


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _group(record: Record, by: str) -> str:
    if by == "folder":
        return record.name.rpartition("/")[0]
    if by not in record.attributes:
        raise ValueError(
            "Faces are grouped by 'folder' or by an attribute that each of them has: "
            f"{', '.join(record.attributes) or 'none'}. Received: by={by!r} for {record.where}"
        )
    return str(record.attributes[by])


def same_pictures(
    records: Iterable[Record], others: Iterable[Record]
) -> Iterator[tuple[Record, Path, Path]]:
    """Finds records whose image file has the same bytes as one of ``others``.

    Only files of equal size are read; images that lie in no file of their own are passed over.

    Yields:
        (record, its file, the other's file, which may be the same).
    """

    def file_of(record: Record) -> Path | None:
        path = getattr(record.image, "path", None)
        return path if path is not None and path.is_file() else None

    by_size: dict[int, list[Path]] = {}
    for path in sorted({path for record in others if (path := file_of(record))}, reverse=True):
        by_size.setdefault(path.stat().st_size, []).append(path)
    digest = cache(sha256)

    @cache
    def by_digest(size: int) -> dict[str, Path]:
        return {digest(path): path for path in by_size.get(size, ())}

    for record in records:
        if (path := file_of(record)) is None:
            continue
        # Looked up, not compared with each: pictures that are not compressed are all of one size.
        known = by_digest(path.stat().st_size)
        if known and (other := known.get(digest(path))) is not None:
            yield record, path, other


def tight_boxes(reader: Reader) -> Reader:
    """Returns the same faces with the tight boxes of their landmarks."""

    def one(record: Record) -> Record:
        known = record.landmarks[record.annotated]
        box = np.asarray(geometry.box_from_landmarks(known), np.float32)
        own = record.box if record.box_source == "file" else record.own_box
        return replace(record, box=box, box_source="landmarks", own_box=own)

    return reader.subset([one(record) for record in reader.records])


SETS: dict[str, DataSet] = {}
"""Every registered data set by its name."""


def register(dataset: DataSet) -> DataSet:
    """Makes a data set known by its name to every command, and returns it.

    Raises:
        ValueError: If another set has that name.
    """
    if SETS.setdefault(dataset.name, dataset) is not dataset:
        raise ValueError(f"A data set's name must be new. Received: name={dataset.name!r}")
    return dataset


def get(dataset: str | DataSet) -> DataSet:
    """Returns a data set from its name (a data set is returned as it is).

    Raises:
        ValueError: If the name is unknown.
    """
    if isinstance(dataset, DataSet):
        return dataset
    if dataset not in SETS:
        raise ValueError(
            f"A data set must be one of {', '.join(SETS)}. Received: dataset={dataset!r}"
        )
    return SETS[dataset]


_ZERO_BASED = "read as 0-based, the centre of the first pixel at 0; 0.5 is added"
_ONE_BASED = "1-based, the centre of the first pixel at 1; 0.5 is subtracted"

register(
    DataSet(
        name="wflw",
        summary="WFLW, Wider Facial Landmarks in-the-Wild, 98 points",
        reader=wflw.read,
        scheme=markup.WFLW98,
        files=wflw.FILES,
        crop="wflw",
        protocols=("wflw_inter_ocular", "wflw_inter_pupil"),
        protocol="wflw_inter_ocular",
        counts={
            "train": 7500,
            "test": 2500,
            "test/pose": 326,
            "test/expression": 314,
            "test/illumination": 698,
            "test/makeup": 206,
            "test/occlusion": 736,
            "test/blur": 773,
        },
        layout="WFLW_images/, WFLW_annotations/list_98pt_rect_attr_train_test/, "
        "WFLW_annotations/list_98pt_test/",
        coordinates=_ZERO_BASED,
        licence="images of WIDER FACE; for non-commercial research",
        where="https://wywu.github.io/projects/LAB/WFLW.html",
        citation="W. Wu et al., Look at Boundary: A Boundary-Aware Face Alignment Algorithm, "
        "CVPR 2018",
    )
)
register(
    DataSet(
        name="300w",
        summary="300-W, 300 Faces in-the-Wild, 68 points",
        reader=w300.read,
        scheme=markup.IBUG68,
        files={folder: folder for folder in w300.FOLDERS},
        splits={**w300.ALIASES, "test": w300.ALIASES["full"]},
        training=w300.ALIASES["train"],
        boxes=("ground_truth", "detector", "landmarks", "file"),
        reader_takes_box=True,
        protocols=("300w_inter_ocular", "300w_inter_pupil"),
        protocol="300w_inter_ocular",
        counts=w300.FOLDERS,
        holdout=120,
        holdout_among="helen/trainset/",
        photograph=_w300_photograph,
        layout="FOLDER/NAME.{jpg,png} with FOLDER/NAME.pts; optional "
        "Bounding Boxes/bounding_boxes_*.mat",
        coordinates=_ONE_BASED,
        licence="annotations for research use only; the photographs belong to their owners",
        where="https://ibug.doc.ic.ac.uk/resources/300-W/",
        citation="C. Sagonas et al., 300 faces in-the-wild challenge: Database and results, "
        "Image and Vision Computing 47, 2016",
    )
)
_COFW = DataSet(
    name="cofw",
    summary="COFW, Caltech Occluded Faces in the Wild, 29 points",
    reader=cofw.read,
    scheme=markup.COFW29,
    files=cofw.FILES,
    crop="cofw",
    protocols=("cofw29_inter_ocular", "cofw29_inter_pupil"),
    counts={"train": 1345, "test": 507},
    layout="COFW_train_color.mat, COFW_test_color.mat",
    coordinates=_ONE_BASED,
    licence="for non-commercial research",
    where="http://www.vision.caltech.edu/xpburgos/ICCV13/",
    citation="X. P. Burgos-Artizzu, P. Perona, P. Dollár, Robust face landmark estimation under "
    "occlusion, ICCV 2013",
)
register(_COFW)
register(
    replace(
        _COFW,
        name="cofw68",
        summary="COFW-68, the 68-point annotation of COFW's test faces",
        scheme=markup.IBUG68,
        files={"test68": "COFW68_Data"},
        splits={"test": ("test68",)},
        training=(),
        protocols=(
            "cofw68_inter_ocular",
            "cofw68_inter_ocular_visible",
            "cofw68_inter_pupil",
            "cofw68_inter_pupil_visible",
        ),
        counts={"test68": 507},
        layout="COFW_test_color.mat, COFW68_Data/test_annotations/*_points.mat, "
        "COFW68_Data/cofw68_test_bboxes.mat",
        where="https://github.com/golnazghiasi/cofw68-benchmark",
        citation="G. Ghiasi, C. Fowlkes, Occlusion Coherence: Detecting and Localizing Occluded "
        "Faces, 2015",
    )
)
register(
    DataSet(
        name="aflw19",
        summary="AFLW with 19 points (AFLW-full and AFLW-frontal)",
        reader=aflw19.read,
        scheme=markup.AFLW19,
        files=dict.fromkeys(aflw19.SPLITS, aflw19.FILE),
        splits=aflw19.ALIASES,
        crop="aflw",
        protocols=("aflw19_box_side", "aflw19_box_sqrt_area", "aflw19_box_diagonal"),
        counts={"train": aflw19.TRAIN_FACES, "test": 4386, "test/frontal": 1314},
        layout=f"{aflw19.FILE}; images in data/flickr/{{0,2,3}}/",
        coordinates=f"read as {_ONE_BASED}",
        licence="for non-commercial research, after registration",
        where="https://www.tugraz.at/institute/icg/research/team-bischof/lrs/downloads/aflw/ "
        "(images) and http://mmlab.ie.cuhk.edu.hk/projects/compositional.html (19 points)",
        citation="M. Koestinger et al., Annotated Facial Landmarks in the Wild, ICCV-W 2011; "
        "S. Zhu et al., Unconstrained Face Alignment via Cascaded Compositional Learning, "
        "CVPR 2016",
    )
)
register(
    DataSet(
        name="lfpw29",
        summary="LFPW, Labeled Face Parts in the Wild, 29 points",
        reader=lfpw29.read,
        scheme=markup.LFPW29,
        files=lfpw29.FILES,
        boxes=("landmarks",),
        protocols=("lfpw29_inter_pupil",),
        protocol="lfpw29_inter_pupil",
        counts={"train": 1132, "test": 300},
        layout=f"{lfpw29.FILES['train']}, {lfpw29.FILES['test']}; train/ and test/ with "
        "image_NNNN.jpg",
        coordinates=_ZERO_BASED,
        licence="annotations for research; the images belong to their owners and are not part of "
        "the release, which lists their addresses (most are dead today)",
        where="https://neerajkumar.org/databases/lfpw/",
        citation="P. N. Belhumeur et al., Localizing Parts of Faces Using a Consensus of "
        "Exemplars, CVPR 2011",
    )
)
register(
    DataSet(
        name="menpo",
        summary="Menpo 2D, the semi-frontal training faces, 68 points",
        reader=menpo.read,
        scheme=markup.IBUG68,
        boxes=("landmarks",),
        protocols=("300w_inter_ocular", "300w_inter_pupil"),
        protocol="300w_inter_ocular",
        layout="NAME.{jpg,png} with NAME.pts, at any depth; profile faces, of 39 points, are left "
        "out",
        coordinates=_ONE_BASED,
        licence="for research",
        where="https://ibug.doc.ic.ac.uk/resources/2nd-facial-landmark-tracking-competition-menpo-ben/",
        citation="S. Zafeiriou et al., The Menpo Facial Landmark Localisation Challenge: A Step "
        "Towards the Solution, CVPR-W 2017",
    )
)
register(
    DataSet(
        name="helen194",
        summary="Helen, 194 points",
        reader=helen194.read,
        scheme=markup.HELEN194,
        files={**helen194.LISTS, "all": "annotation"},
        boxes=("landmarks",),
        protocols=("helen194_inter_pupil",),
        protocol="helen194_inter_pupil",
        counts={"train": 2000, "test": 330},
        layout="annotation/*.txt, trainnames.txt, testnames.txt, and the images anywhere below",
        coordinates=_ZERO_BASED,
        licence="for non-commercial research; the photographs belong to their owners",
        where="http://www.ifp.illinois.edu/~vuongle2/helen/",
        citation="V. Le et al., Interactive Facial Feature Localization, ECCV 2012",
    )
)
register(
    DataSet(
        name="ytf",
        summary="YouTube Faces frames with 68 machine-made points",
        reader=ytf.read,
        scheme=markup.IBUG68,
        files=ytf.FILES,
        splits={"train": ("training",)},
        training=("training",),
        boxes=("landmarks",),
        protocols=("300w_inter_ocular", "300w_inter_pupil"),
        protocol="300w_inter_ocular",
        counts={"training": 3462, "test": 770},
        # Frames of one person are kept together.
        photograph=lambda record: str(record.attributes["person"]),
        layout="training/*.jpg, training_frames_keypoints.csv",
        coordinates=_ZERO_BASED,
        licence="the images are subject to the terms of YouTube Faces; for research",
        where="https://github.com/udacity/P1_Facial_Keypoints",
        citation="L. Wolf, T. Hassner, I. Maoz, Face recognition in unconstrained videos with "
        "matched background similarity, CVPR 2011",
    )
)

# What annotation tools write. The files bring their points' names, or `scheme` does.
_CORNERS = "the centre of the first pixel at 0; 0.5 is added (see `first_pixel`)"

register(
    DataSet(
        name="coco",
        summary="Key points in COCO's JSON (CVAT, Label Studio, Roboflow, COCO-WholeBody)",
        reader=coco.read,
        layout="S.json, annotations/S.json or S/_annotations.coco.json for a split S; images "
        "beside it or in images/",
        where="https://cocodataset.org/#format-data",
        citation="T.-Y. Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014",
        coordinates=_CORNERS,
        holdout=0.1,
        licence="yours",
    )
)
register(
    DataSet(
        name="imglab",
        summary="Boxes with named parts in the XML of dlib's imglab",
        reader=imglab.read,
        layout="S.xml for a split S; images relative to it",
        where="https://github.com/davisking/dlib/tree/master/tools/imglab",
        coordinates=_CORNERS,
        holdout=0.1,
        licence="yours",
    )
)
register(
    DataSet(
        name="pts",
        summary="A folder of .pts files, any number of points, each beside its image",
        reader=pts.read,
        boxes=("landmarks",),
        layout="NAME.pts beside NAME.{jpg,png}, at any depth; a folder S for a split S",
        coordinates="the centre of the first pixel at 1; 0.5 is subtracted (see `first_pixel`)",
        holdout=0.1,
        licence="yours",
    )
)
register(
    DataSet(
        name="csv",
        summary="A CSV table, one row a face: image,NAME_x,NAME_y,… or image,x0,y0,…",
        reader=csv_table.read,
        layout="S.csv for a split S, or a column `split`; images beside it or in images/",
        coordinates=_CORNERS,
        holdout=0.1,
        licence="yours",
    )
)
