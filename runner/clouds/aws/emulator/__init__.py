"""An emulated EC2, with its meter; it imports nothing of the client."""
