"""The command line. Every verb is a plain function in the file of its kind.

Verbs import what they need when they run: `tinct --help` loads neither torch nor numpy.
"""

from __future__ import annotations

# The order of `tinct --help` is that of these lines.
from tinct.cli import segment as segment  # isort: skip
from tinct.cli import batch as batch  # isort: skip
from tinct.cli import page as page  # isort: skip
from tinct.cli import export as export  # isort: skip
from tinct.cli import measure as measure  # isort: skip
from tinct.cli import make_occlusion as make_occlusion  # isort: skip
from tinct.cli import compare_methods as compare_methods  # isort: skip
from tinct.cli import ablate as ablate  # isort: skip
from tinct.cli import models as models  # isort: skip
from tinct.cli import train as train  # isort: skip
from tinct.cli import join as join  # isort: skip
from tinct.cli import push as push  # isort: skip
from tinct.cli import export_model as export_model  # isort: skip
from tinct.cli.application import app, main
from tinct.cli.segment import parse_mask

__all__ = ["app", "main", "parse_mask"]
