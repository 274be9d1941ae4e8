"""The clouds' own APIs, one typed client each: offers, machines, keys, volumes, and how to end them."""
