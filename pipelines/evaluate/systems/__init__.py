"""What generates the clips of an evaluation."""
