"""Broken and hostile inputs of every format that is read, each through the commands that read it: ``python -m bench.hostile``.

material (valid files) ── mutations ──► inputs by format (rasters, vectors, tables, stores, attacks) ── trial ──► table

Every command runs in a process of its own, forked from one that has imported everything, with limits of time and memory. What is
opened outside its folder is seen by inotify and by an audit hook, what connects by a listener that is every proxy's address.
Linux only. ``--only NAME`` repeats one input; the same name is the same bytes.
"""
