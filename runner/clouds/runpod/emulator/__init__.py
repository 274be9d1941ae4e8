"""An emulated RunPod (REST and GraphQL), with its meter; it imports nothing of the client."""
