"""What tokens cost: what was spent, and the limit."""
