"""Networks, as torch modules. Importing this package imports no torch; importing one of its modules does."""
