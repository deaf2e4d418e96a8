"""tinct in napari: a reader, a writer, and "segment from this labels layer".

`napari.yaml` beside this file is the manifest (npe2). Nothing here imports napari or a GUI toolkit: layers
are arrays and LayerData tuples, and napari builds the form of the command from the function's signature.
"""
