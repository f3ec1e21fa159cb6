"""`python -m thaw VERB ...`"""

import sys

from thaw.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
