"""What leaves this disk and what comes back: verdicts, rclone as text, retention, restoring."""
