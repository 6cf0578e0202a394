"""``python -m wsss_lib.workflow``: what run_all.sh calls in its environment."""

import sys

from wsss_lib.workflow.cli import main

sys.exit(main(sys.argv[1:]))
