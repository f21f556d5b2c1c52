"""The data directory: every file at rest is born, committed, salvaged and read here.

The protocol, in the order a segment lives it (`docs/DATA_CONTRACT.md` shows the bytes):

    spool/open/<worker>/NAME.jsonl.gz.open      created exclusively by the one owner (flock)
        flush every flush_interval_s            a killed process loses this and the step under way
        fdatasync every sync_interval_s         a power cut loses this, that, and the sync's time
        seal: end the stream, fsync, close
    spool/open/<worker>/NAME.manifest.json.tmp  fsync; then chain.json names it as the next link
        prove: drop the page cache, read back, compare the SHA-256
    raw/…/NAME.jsonl.gz                         rename, fsync both directories
    raw/…/NAME.manifest.json                    rename = THE COMMIT, fsync both directories
    spool/<queue>/NAME.ready                    one ticket for each consumer

A data file without a manifest is not published. A crash leaves one of these states, and
`recovery` walks it to the end of the list; nothing is ever deleted, only finished, labelled
`cut_short`, or moved to `spool/quarantine/` with a `.why` beside it.
"""
