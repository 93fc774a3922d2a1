"""What an experiment of a paper is: trainings, columns, and the tables and figures over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Split = tuple[str, str]
"""A data set's name, and a split of it or a group of splits."""


@dataclass(frozen=True)
class Training:
    """A model to train, as its paper says.

    Attributes:
        model: Name of the architecture, see ``tfalign.models.ARCHITECTURES``.
        data: The data set; its split ``"train"`` is trained on.
        box: One of the set's box sources; None takes its usual one.
        options: Arguments of the architecture, at every scale.
        settings: Fields of ``tfalign.training.Settings`` at every scale.
        published: The same for the published scale alone; the architecture's own come first.
        small: Arguments of the architecture at the small scale alone.
        schedule: A schedule's name at every scale, or a function of model, budget and whether the
            published scale is run; None takes the scale's.
        start: Name of another training of the paper whose weights it starts from.
        also: Further splits that are trained on; at a small scale only where they are there.
    """

    model: str
    data: str = "300w"
    box: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, Any] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)
    schedule: str | Callable[[Any, Any, bool], Any] | None = None
    start: str | None = None
    also: tuple[Split, ...] = ()


@dataclass(frozen=True)
class Column:
    """One number of every row.

    Attributes:
        protocol: How faces are scored.
        subset: The faces: ``"full"``, ``"all"`` or the split's own name, or a part by the name that
            ``tfalign.evaluation.tables.subsets_of`` gives it (and ``"helen"``, ``"lfpw"``).
        metric: ``"nme"``, ``"failure_rate"``, ``"within"`` (1 − failure rate) or ``"auc"``; or a
            property of the model: ``"million_parameters"``, ``"gmacc"``, and of DSSD's factors the
            exact zeros in per cent, ``"zeros_in_p"`` and ``"zeros_in_c"``.
        threshold: Limit of failure rate and AUC, a fraction; None takes the protocol's.
        data, split: The test faces; None takes the row's own data set.
    """

    protocol: str
    subset: str = "full"
    metric: str = "nme"
    threshold: float | None = None
    data: str | None = None
    split: str = "test"

    @property
    def title(self) -> str:
        """For the head of a table: protocol, subset, metric."""
        limit = "" if self.threshold is None else f"@{100 * self.threshold:g}"
        return f"{self.protocol} {self.subset} {self.metric}{limit}"

    @property
    def published_metric(self) -> str:
        """The metric's name in ``tfalign.evaluation.published``."""
        if self.threshold is None or self.metric == "within":
            return self.metric
        return f"{self.metric}@{100 * self.threshold:g}"

    @property
    def factor(self) -> float:
        """From a measured value to the unit of the tables."""
        return 100.0 if self.metric in ("nme", "failure_rate", "within") else 1.0


@dataclass(frozen=True)
class Item:
    """A table or a figure.

    Attributes:
        title: What it shows.
        rows: Label (as the paper prints it, so that the published row is found) to the name of a
            training.
        columns: What is measured of each row.
        measure: Makes the item from a ``tfalign.paper.measures.Bench``; None fills rows and
            columns.
        source: The table in ``tfalign.evaluation.published`` whose rows stand beside ours.
        claim: (better, worse) labels: what the paper says of its own rows. Their difference over
            faces is printed with its standard error.
        against: Label of the row that all others are compared with, face by face: the table then
            has the differences and their standard errors, and those of the faces that training
            watched, by which a choice between rows is made.
        note: What is read into the paper or missing from it.
    """

    title: str
    rows: Mapping[str, str]
    columns: tuple[Column, ...] = ()
    measure: Callable[[Any], dict[str, Any]] | None = None
    source: str = ""
    claim: tuple[str, str] | None = None
    against: str = ""
    note: str = ""


@dataclass(frozen=True)
class Paper:
    """A paper's experiments.

    Attributes:
        name: What users type.
        citation: The paper.
        trainings: Name to training.
        items: Name (``"table3"``) to table or figure.
    """

    name: str
    citation: str
    trainings: Mapping[str, Training]
    items: Mapping[str, Item]

    def item(self, name: str) -> Item:
        """Returns a table or figure by its name.

        Raises:
            ValueError: If the paper has none of that name.
        """
        if name not in self.items:
            raise ValueError(
                f"A table or figure of {self.name} must be one of {', '.join(self.items)}. "
                f"Received: {name!r}"
            )
        return self.items[name]

    def needed(self, item: Item, only: Mapping[str, str] | None = None) -> list[str]:
        """Returns the trainings of an item, those that others start from before them."""
        found: list[str] = []

        def add(name: str) -> None:
            start = self.trainings[name].start
            if start is not None:
                add(start)
            if name not in found:
                found.append(name)

        for name in (only or item.rows).values():
            add(name)
        return found


W300 = ("common", "challenging", "full")
WFLW = ("full", "pose", "expression", "illumination", "makeup", "occlusion", "blur")


def columns(
    protocol: str, subsets: tuple[str, ...], metric: str = "nme", **more: Any
) -> tuple[Column, ...]:
    """Returns a column for each subset."""
    return tuple(Column(protocol, subset, metric, **more) for subset in subsets)
