"""The 29 points of LFPW (Belhumeur et al., CVPR 2011) that the literature evaluates.

LFPW's own lists give more columns (ears among them); the 29 evaluated ones have the order that
COFW took over, so position by position the two schemes are the same. They keep two names because
the sets differ in protocol: LFPW has no occlusion flags and is normalised by the inter-pupil
distance. The column headings of LFPW's lists call the image's left side "left"; the names here
are, as everywhere, the subject's, so its ``left_eyebrow_out`` is our ``right_brow_outer``.
"""

from __future__ import annotations

from tfalign.markup.cofw29 import scheme_29

LFPW29 = scheme_29("lfpw29")
