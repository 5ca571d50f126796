"""The product: what runs in Lambda, on the command line and in tests alike."""
