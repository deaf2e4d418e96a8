"""tinct in napari: a reader, a writer, and "segment from this labels layer".

`napari.yaml` beside this file says what there is (npe2). Nothing here imports napari or a toolkit of
windows: layers come and go as arrays and LayerData tuples, and napari draws the command's form itself
from the function's signature.
"""
