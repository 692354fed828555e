"""What every floor uses: files, errors, random keys, hosts; nothing of the method."""
