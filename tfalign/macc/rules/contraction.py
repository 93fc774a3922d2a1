"""Size of an Einstein sum: how many products it adds up."""

from __future__ import annotations

from collections.abc import Sequence

from tfalign.macc.cost import Shape, size


def einsum_products(equation: str, shapes: Sequence[Shape]) -> tuple[int, bool]:
    """Products formed by an Einstein sum of one or two operands.

    Args:
        equation: such as ``"bnk,nkf->bnf"``; an ellipsis stands for broadcast axes.
        shapes: shapes of the operands.

    Returns:
        The number of products, and whether any of them are added up.

    Raises:
        ValueError: more than two operands (their cost depends on the order of evaluation), or
            the equation does not fit the shapes.
    """
    terms, arrow, result = equation.replace(" ", "").partition("->")
    operands = terms.split(",")
    if len(operands) > 2 or len(operands) != len(shapes):
        raise ValueError(
            "An einsum is counted for one or two operands; split longer ones. "
            f"Received: equation={equation!r}, shapes={list(shapes)!r}"
        )
    sizes: dict[str, int] = {}
    broadcast: dict[int, int] = {}
    for term, shape in zip(operands, shapes, strict=True):
        before, dots, after = term.partition("...")
        spare = len(shape) - len(before) - len(after)
        if spare < 0 or (spare and not dots):
            raise ValueError(
                "The equation must name every axis. "
                f"Received: equation={equation!r}, shapes={list(shapes)!r}"
            )
        axes = [*zip(before, shape, strict=False)]
        axes += zip(after, shape[len(before) + spare :], strict=True)
        for label, length in axes:
            sizes[label] = max(sizes.get(label, 1), length)
        for place, length in enumerate(reversed(shape[len(before) : len(before) + spare])):
            broadcast[place] = max(broadcast.get(place, 1), length)
    # Without an arrow, the output has the labels that appear once.
    kept = result if arrow else "".join(label for label in sizes if terms.count(label) == 1)
    summed = any(label not in kept for label in sizes)
    return size(sizes.values()) * size(broadcast.values()), summed
