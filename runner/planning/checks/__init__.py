"""What can be seen to be wrong before the first dollar: one line for each check, with what to do about it."""
