"""What is true: facts, values and verdicts that every stage shares. Only numpy is allowed here."""
