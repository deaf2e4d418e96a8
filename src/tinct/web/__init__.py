"""The page on which people paint, watch, correct and export, and its server (`tinct app`).

    limits, http_errors    maximum sizes; errors with their HTTP status
    safety                 access control: hosts, origins, the token, security headers
    durable_log            an append-only log that survives a killed server
    journal                objects and prompts, step by step, with undo and redo
    prompt_png             the label maps of prompts as PNG bytes
    mask_store             the computed masks on disk, and which of them are stale
    run_log, run_state     the runs of a project, and the progress of the latest
    project, library       one video's folder; all projects of a server
    uploads                uploaded files, streamed to disk
    frames                 frames as JPEGs, cached and prefetched
    outline                a mask from a box, scribbles or a polygon
    worker                 the process that computes
    worker_process         that process as the server sees it
    runner                 the run that it computes, and its progress as events
    events                 server-sent events
    writer_locks           one writing tab per project
    *_routes, services     the routes, and what they share
    app, server            the application; its start and end

The server's process never imports torch: it stays small, and answers while the worker computes.
"""
