"""The page on which finished runs are looked at, image by image: files, arrays, pictures, widgets."""
