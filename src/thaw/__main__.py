"""`python -m thaw VERB ...`"""

from thaw.cli.main import main

if __name__ == "__main__":
    main()
