"""The files of pictures: thumbnails made, deleted ones removed, and both held against the rows."""
