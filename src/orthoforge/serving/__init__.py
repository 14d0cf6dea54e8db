"""A server: masks to images over HTTP, a map that is generated as one pans over it, and jobs for large scenes.

request ── limits (keys, rate, size) ──► forms ──► uploads (decoded in another process) ──► queue (a worker a device) ──► images
tile ── maps ──► blocks (cache on disk) ──► queue                       jobs (SQLite) ──► queue, block by block

Nothing is imported here: the process that decodes uploads lies in this package too, and starts without torch and FastAPI.
"""
