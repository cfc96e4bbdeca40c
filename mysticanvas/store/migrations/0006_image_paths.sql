-- A card of the gallery names the picture's file. `generation_files` has no key, and looking some
-- pictures up in it reads most of its paths; in the row of the picture it costs next to nothing.
-- The file of a picture never changes.

ALTER TABLE images ADD COLUMN path VARCHAR;

UPDATE images SET path = file.path
FROM generation_files AS file
WHERE file.image_seq = images.seq AND file.kind = 'original';
