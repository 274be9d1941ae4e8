"""What makes sure that nothing of a run stays behind: the journal before, the receipt after."""
