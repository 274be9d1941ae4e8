"""All that a person types and sees in a terminal: verbs, consent, the view of a run."""
