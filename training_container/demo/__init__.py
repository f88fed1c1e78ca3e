"""What the demo and the tests train: two base models made on the spot, and a small set of support tickets."""
