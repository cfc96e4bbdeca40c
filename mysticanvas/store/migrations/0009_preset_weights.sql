-- What the weights of a preset take, by the headers of its files. `weighed` says of what it was
-- counted: how the files looked, in which number format and for which device. NULL until then.

ALTER TABLE presets ADD COLUMN vram_weights_mib DOUBLE;

ALTER TABLE presets ADD COLUMN weighed VARCHAR;
