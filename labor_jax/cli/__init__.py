"""One file a command: flags in, one call, exit status out."""
