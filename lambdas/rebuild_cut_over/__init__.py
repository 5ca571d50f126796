"""Makes a rebuilt version active."""
