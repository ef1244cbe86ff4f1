"""What a call asks for and gives: checked inputs, mutants, naive runs, and results."""
