"""How data sets are made: from archives and folders of files, and written by TFDS."""
