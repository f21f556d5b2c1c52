"""The part that thinks: values in, values out. No files, clocks, sockets, logs or chance."""
