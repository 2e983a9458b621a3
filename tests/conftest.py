"""What holds for every test."""

import os
import sys

# Tests start hundreds of Python programs; where compiled modules may not be kept, each of these compiles all it imports anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
