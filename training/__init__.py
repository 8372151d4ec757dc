"""Train and evaluate the models and export them as releases. Imports bt_node; never the reverse."""
