"""The networks as ONNX graphs, written from weights files with neither torch nor the package `onnx`.

`writer` puts nodes and constants into the file format; `layers` knows the parts that the compact networks
share; `feelvos` and `pyramids` are the networks. The graphs run in `tinct.backends` and are what
`tinct export-model` writes.
"""
