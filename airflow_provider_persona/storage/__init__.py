"""Floor 2: what outlives a process: local folders and object stores, whole files, append-only segments, SQL tables."""
