"""Streaming: connections, states, checks and rows of one streamer."""
