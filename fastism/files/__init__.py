"""Files on the disk: text as people have it, files that appear when they are whole, locks."""
