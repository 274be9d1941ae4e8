"""All that RunPod needs: its record, client, messages, Terraform resource; its emulator beside them."""
