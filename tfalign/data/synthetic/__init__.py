"""Synthetic faces: a parametric 3-D head with the 98 WFLW points, drawn with NumPy and OpenCV.

``render`` makes one face, ``write_wflw`` a WFLW directory of them, ``contact_sheet`` a picture to
look at, ``render_clip`` a film. Everything is a function of a seed and an index.

From the bottom up: ``layout`` holds the proportions, ``mesh`` makes them a surface, ``identity``
and ``expression`` (by way of ``spread``) say how heads differ, ``parameters`` draws one at random,
``head`` poses and projects it; ``raster`` finds the visible pixels; ``colors``, ``noise``,
``masks``, ``skin`` and ``light`` decide what they look like; ``features``, ``surroundings`` and
``occlusion`` draw what is in, around and before the face; ``sensor`` is the camera; ``scene`` puts
it all together, ``clip`` moves it, ``dataset`` and ``sheet`` write it down.
"""

from tfalign.data.synthetic.clip import render_clip
from tfalign.data.synthetic.dataset import write_wflw
from tfalign.data.synthetic.scene import render
from tfalign.data.synthetic.sheet import contact_sheet

__all__ = ["contact_sheet", "render", "render_clip", "write_wflw"]
