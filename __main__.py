"""`python -m rt_melody` is the command `rt-melody`."""

import sys

from rt_melody.realtime.start import main

if __name__ == "__main__":
    sys.exit(main())
