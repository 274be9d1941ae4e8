"""All that AWS needs: its record, client, listing, quotas, refusals; its emulator beside them."""
