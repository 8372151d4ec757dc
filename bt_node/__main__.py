"""`python -m bt_node` is `bt-node`."""

from bt_node.cli.main import main

if __name__ == "__main__":
    main()
