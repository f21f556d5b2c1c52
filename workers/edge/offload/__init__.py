"""The steps of offload: each a job of rclone commands over the spool."""
