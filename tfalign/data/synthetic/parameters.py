"""What decides a head: identity, expression, gaze and pose, and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tfalign.data.synthetic.identity import identity_modes


@dataclass
class HeadParameters:
    """What decides a head's geometry; angles in degrees.

    Attributes:
        identity: Coefficients of ``identity_modes``, standard normal.
        expression: Strength of each named expression mode; absent means 0.
        gaze: Horizontal and vertical angle of the eyes relative to the head.
        yaw: Positive turns the face to the right of the image.
        pitch: Positive lowers the face.
        roll: Positive turns the head clockwise on the image.
        distance: From the camera, in outer-eye-corner distances.
    """

    identity: np.ndarray
    expression: dict[str, float] = field(default_factory=dict)
    gaze: tuple[float, float] = (0.0, 0.0)
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    distance: float = 8.0


def sample_expression(rng: np.random.Generator) -> dict[str, float]:
    """Draws an expression: a mouth, lids and brows, each from a mixture seen in photographs."""
    kind = rng.choice(
        ["neutral", "smile", "laugh", "talk", "shout", "kiss", "sad"],
        p=[0.30, 0.17, 0.25, 0.15, 0.05, 0.04, 0.04],
    )
    e: dict[str, float] = {
        "part": max(0.0, rng.normal(0.05, 0.25)), "roll": rng.normal(0, 0.3),
        "smile": rng.normal(0.08, 0.2), "frown": rng.normal(0.25, 0.3),
        "shift": rng.normal(0, 0.25), "lift": rng.normal(0, 0.25), "puff": rng.normal(0, 0.4),
    }  # fmt: skip
    if kind == "smile":
        e["smile"] = rng.uniform(0.2, 0.9)
    elif kind == "laugh":
        e |= {
            "smile": rng.uniform(0.4, 1.2),
            "part": rng.uniform(0.4, 1.7),
            "jaw": rng.gamma(1.2, 0.12),
        }
    elif kind == "talk":
        e |= {
            "jaw": rng.gamma(1.5, 0.13),
            "part": rng.uniform(0, 0.9),
            "pucker": rng.normal(0, 0.4),
        }
    elif kind == "shout":
        e |= {
            "jaw": rng.uniform(0.5, 1.5),
            "part": rng.uniform(0, 1),
            "smile": rng.normal(0.1, 0.4),
        }
    elif kind == "kiss":
        e |= {"pucker": rng.uniform(0.4, 1.3), "smile": 0.0, "part": 0.0}
    elif kind == "sad":
        e |= {"frown": rng.uniform(0.5, 1.4), "smile": 0.0, "furrow": rng.uniform(0, 0.8)}
    e["wrinkle"] = max(0.0, rng.normal(0, 0.25)) + 0.3 * max(0.0, e["smile"] - 0.5)

    if rng.random() < 0.07:
        lids = rng.uniform(0.85, 1.0)
    elif rng.random() < 0.12:
        lids = rng.uniform(0.35, 0.8)
    else:
        lids = rng.normal(0.04, 0.16)
    e["blink_left"] = float(np.clip(lids + rng.normal(0, 0.04), -0.6, 1.0))
    e["blink_right"] = float(np.clip(lids + rng.normal(0, 0.04), -0.6, 1.0))
    if rng.random() < 0.02:
        e[str(rng.choice(["blink_left", "blink_right"]))] = 1.0
    squint = rng.uniform(0, 0.8) * min(1.0, max(0.0, e["smile"])) + rng.normal(0, 0.2)
    for side in ("left", "right"):
        open_share = 1.0 - max(0.0, e[f"blink_{side}"])
        e[f"squint_{side}"] = float(np.clip(squint, -0.5, 1.2)) * open_share
    raised = rng.normal(0.0, 0.3) + (rng.uniform(0.3, 1.2) if rng.random() < 0.12 else 0.0)
    e["raise_inner"] = raised + rng.normal(0, 0.2)
    e["raise_left"], e["raise_right"] = raised + rng.normal(0, 0.2), raised + rng.normal(0, 0.2)
    e["furrow"] = e.get("furrow", 0.0) + max(0.0, rng.normal(-0.05, 0.35))
    return {name: float(value) for name, value in e.items()}


def sample_parameters(rng: np.random.Generator) -> HeadParameters:
    """Draws a head: identity, expression, gaze and pose.

    Yaw, pitch and roll are mixtures with the spread of photographs at their core (standard
    deviations of about 16, 10 and 8 degrees) and a tail that reaches past 60 degrees of yaw.
    """
    names, _ = identity_modes()
    choice = rng.random()
    if choice < 0.72:
        yaw, pitch = rng.normal(0, 15), rng.normal(0, 9)
    elif choice < 0.92:
        yaw, pitch = rng.normal(0, 30), rng.normal(0, 15)
    else:
        yaw, pitch = rng.uniform(-65, 65), rng.uniform(-30, 30)
    roll = rng.normal(0, 8) if rng.random() < 0.85 else rng.normal(0, 22)
    yaw, pitch = float(np.clip(yaw, -68, 68)), float(np.clip(pitch, -38, 38))
    follow = rng.uniform(0, 0.7)
    gaze = (
        float(np.clip(-follow * yaw + rng.normal(0, 9), -28, 28)),
        float(np.clip(-follow * pitch + rng.normal(0, 5), -16, 16)),
    )
    return HeadParameters(
        identity=rng.normal(0, 1, len(names)).clip(-2.6, 2.6),
        expression=sample_expression(rng),
        gaze=gaze, yaw=yaw, pitch=pitch, roll=float(roll),
        distance=float(np.exp(rng.uniform(np.log(5.0), np.log(25.0)))),
    )  # fmt: skip
