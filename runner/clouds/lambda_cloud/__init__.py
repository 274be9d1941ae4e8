"""All that Lambda Cloud needs: its record, client, messages, Terraform resources; its emulator beside them."""
