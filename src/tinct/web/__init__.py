"""The page on which people paint, watch, correct and export, and its server (`tinct app`).

    limits, refusals   what is refused, and how that is said
    safety             who may ask: hosts, origins, the token, the headers of every answer
    durable_log        lines on disk that a killed server finds again
    journal            what was painted and named, step by step, with undo and redo
    mask_store         the computed masks on disk, and which of them a later change has overtaken
    run_log            every run that was begun
    project            one video's folder: all of the above together
    library            all projects of a server
    uploads            files that a browser sends, straight to disk
    frames             frames as JPEGs, quick to seek
    outline            a box, scribbles or a polygon become a mask
    worker             the process that computes
    worker_process     that process as the server sees it
    runner             which run it computes, and what the page is told of it
    events             server-sent events
    routes, app        the addresses, and the application that serves them
    server             its start and end

The server's process never imports torch: it stays small, and answers while the worker computes.
"""
