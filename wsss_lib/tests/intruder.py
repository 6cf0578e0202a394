"""An object that executes code when it is unpickled."""

import os
from pathlib import Path


class Intruder:
    """Makes a folder on the way from a file back into memory."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)
