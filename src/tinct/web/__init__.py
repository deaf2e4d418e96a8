"""The page on which people paint, watch, correct and export, and its server (`tinct app`).

    limits, http_errors    maximum sizes; errors with their HTTP status
    safety                 access control: hosts, origins, the token, security headers
    project_file           one SQLite file per project, which survives a killed server
    journal                objects, prompts, locks, verdicts, step by step, with undo and redo
    prompt_png             label maps as PNG bytes
    mask_store             the computed masks, and which of them are stale
    run_log, run_state     the runs of a project, and the progress of the latest
    project_info           what is known of a video without opening it
    project_video          where it lies, or how it is embedded
    project, library       one video with its work; all projects of a server
    project_document       a project as JSON for the page
    old_folders            projects of earlier versions, taken over
    uploads                uploaded files, streamed to disk
    frames                 frames as JPEGs, cached and prefetched
    outline                a mask from a box, scribbles or a polygon
    worker                 the process that computes
    worker_process         that process as the server sees it
    runner                 the run that it computes, those that wait, and their progress as events
    events                 server-sent events
    writer_locks           one writing tab per project
    *_routes, services     the routes, and what they share
    app, server            the application; its start and end

The server's process never imports torch: it stays small, and answers while the worker computes.
"""
