"""An emulated Lambda Cloud, with its meter; it imports nothing of the client."""
