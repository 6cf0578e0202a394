"""The world of the embedded benchmark: shapes, textures, looks, composition, words and files."""
