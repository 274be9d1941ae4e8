"""The samples: read, encoded, masked, summed up."""
