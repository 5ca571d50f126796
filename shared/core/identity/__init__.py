"""Who is who: identifiers, whose they are, and what profiles are called."""
