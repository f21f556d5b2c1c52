"""The derived tables at rest: built from raw segments, committed, merged, made anew.

    derived/<table>/venue=polymarket/date=…/hour=…/.NAME.….tmp    a draft: nobody reads it
        fsync, drop the page cache, read back, hash
    …/NAME.parquet                                                rename
    …/NAME.manifest.json                                          rename = THE COMMIT
    spool/normalize/SEGMENT.done                                  once every table has its rows

A crash leaves drafts and a data file without manifest, which the next start sweeps, and tickets
whose rows are committed already, which the manifests show: no row is ever there twice.
"""
